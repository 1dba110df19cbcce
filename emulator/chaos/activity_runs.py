"""Runs of activities under chaos: which call of an activity has run more than once.

A durable app must expect that: an activity whose result was not stored is run again. What it does outside the app then
happens twice, unless it is idempotent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from emulator import bound_json as json
from emulator.durable.executor import running_activity
from emulator.worker.port import FunctionMetadata, Invocation, Returned, Worker


@dataclass(frozen=True, slots=True)
class ActivityCall:
    """A call of an activity by an orchestration. `task_id`: the event id of its TaskScheduled.

    `function`: the name of the function that runs.
    """

    instance_id: str
    execution_id: str
    task_id: int
    function: str


@dataclass(frozen=True, slots=True)
class RepeatedActivity:
    """A call that has run more than once. `effects`: what the function does outside the app, as far as it was seen."""

    call: ActivityCall
    times: int
    effects: Sequence[str] = ()

    def __str__(self) -> str:
        effects = f" Each time it {', '.join(self.effects)}." if self.effects else ""
        call = self.call
        return (
            f'"{call.function}" (instance "{call.instance_id}", task {call.task_id}) ran {self.times} times.{effects}'
        )


class ActivityRuns:
    """The runs of activities so far.

    `file`: also written there, a line of JSON for each, so that they survive the end of the process.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._calls: Counter[ActivityCall] = Counter()

    def begins(self, call: ActivityCall) -> None:
        """Note that a call is run."""
        self._calls[call] += 1
        if self._file is not None:
            # OSError: the system has deleted the temporary folder. The report is then incomplete.
            with suppress(OSError), self._file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(asdict(call)) + "\n")

    def repeated(self) -> list[RepeatedActivity]:
        """Return the calls that ran more than once, in the order of their first runs."""
        return [RepeatedActivity(call, times) for call, times in self._calls.items() if times > 1]


def read_runs(file: Path) -> ActivityRuns:
    """Return the runs that host processes have written to a file. A line that a kill has cut off is left out."""
    runs = ActivityRuns()
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, TypeError):
                runs.begins(ActivityCall(**json.loads(line)))
    return runs


@asynccontextmanager
async def recording_activities(
    runs: ActivityRuns, worker: AbstractAsyncContextManager[Worker]
) -> AsyncIterator[Worker]:
    """Return `worker`, whose runs of activities are noted in `runs`."""
    async with worker as entered:
        yield _RecordingWorker(entered, runs)


class _RecordingWorker:
    """Implements the Worker port."""

    def __init__(self, worker: Worker, runs: ActivityRuns) -> None:
        self._worker = worker
        self._runs = runs

    async def load(self) -> Sequence[FunctionMetadata]:
        """See Worker.load."""
        return await self._worker.load()

    async def invoke(self, invocation: Invocation) -> Returned:
        """See Worker.invoke."""
        request = running_activity.get()
        if request is not None:
            instance = request.instance
            self._runs.begins(
                ActivityCall(instance.instance_id, instance.execution_id or "", request.task_id, invocation.function)
            )
        return await self._worker.invoke(invocation)
