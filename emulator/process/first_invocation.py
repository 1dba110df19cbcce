"""Mark of the first invocation: it tells the supervisor whether a host process has done anything before it ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

from emulator.worker.port import FunctionMetadata, Invocation, Returned, Worker


@asynccontextmanager
async def marking_first_invocation(mark: Path, worker: AbstractAsyncContextManager[Worker]) -> AsyncIterator[Worker]:
    """Return `worker`, which creates the file `mark` when its first invocation has ended, with success or failure."""
    async with worker as entered:
        yield _MarkingWorker(entered, mark)


class _MarkingWorker:
    """Implements the Worker port."""

    def __init__(self, worker: Worker, mark: Path) -> None:
        self._worker = worker
        self._mark: Path | None = mark

    async def load(self) -> Sequence[FunctionMetadata]:
        """See Worker.load."""
        return await self._worker.load()

    async def invoke(self, invocation: Invocation) -> Returned:
        """See Worker.invoke."""
        try:
            return await self._worker.invoke(invocation)
        finally:
            if self._mark is not None:
                # OSError: the system has deleted the temporary folder. Then an unexpected end of this process counts.
                with suppress(OSError):
                    self._mark.touch()
                self._mark = None
