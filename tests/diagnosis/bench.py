"""An app in a situation that `why` has to explain: a host, a client of its hub, and the diagnosis.

The same situations run in virtual time on the built-in store, where time stands still unless a test advances it, and in
real time on Azurite.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from emulator.accounts import open_accounts
from emulator.app import App, LastingParts
from emulator.clock import Clock, SystemClock
from emulator.config.start import Configuration, StartOptions, configure
from emulator.diagnosis.diagnosis import Diagnosis
from emulator.diagnosis.explanation import Explanation
from emulator.diagnosis.finding import Cause
from emulator.diagnosis.opening import open_diagnosis, running_host
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.azurestorage.partitioning.table_partitions import Partition, partition_row
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.ids import new_id
from emulator.instant import Instant
from emulator.storage.accounts import StorageAccounts
from emulator.storage.port import Operation, StorageAccount, TableOperation
from emulator.virtual_time import VirtualClock
from tests.durable.azurestorage.world import World
from tests.running_apps import DURABLE_APP, OPTION, run_app, write_app
from tests.waiting import eventually

# Real seconds that a situation may take to arise on a server.
_SECONDS = 30


@dataclass
class Situation(World):
    """See `World` for what a client does. `source`: the lines of function_app.py. `storage`: of the options."""

    configuration: Configuration = field(kw_only=True)
    accounts: StorageAccounts = field(kw_only=True)
    options: DurableTaskOptions = field(kw_only=True)
    folder: Path = field(kw_only=True)
    stack: AsyncExitStack = field(kw_only=True)
    app: App | None = field(kw_only=True, default=None)

    @property
    def account(self) -> StorageAccount:
        return self.accounts("AzureWebJobsStorage")

    @property
    def diagnosis(self) -> Diagnosis:
        """The diagnosis of the running host, or without a host the one that only reads the storage."""
        app = self.app
        host = None if app is None else running_host(app.host, app.worker, self.configuration.root)
        return open_diagnosis(self.options, self.accounts, self.clock, host=host)

    async def own(self, queue: str, owner: str, *, expires_in: float) -> None:
        """Write a lease of a control queue, as another host would."""
        now = Instant.of(self.clock.now())
        expires_at = now + timedelta(seconds=expires_in)
        partition = Partition(queue_name=queue, owner=owner, owned_since=now, last_renewal=now, expires_at=expires_at)
        table = self.account.table(self.hub.names.partitions_table)
        await table.submit([TableOperation(Operation.INSERT_OR_REPLACE, partition_row(partition))])

    def line(self, mark: str) -> str:
        """Return `file:line` of the line that ends with the comment `# mark`."""
        lines = (self.folder / "function_app.py").read_text().splitlines()
        [number] = [number for number, line in enumerate(lines, 1) if line.endswith(f"# {mark}")]
        return f"function_app.py:{number}"

    async def host(self, **options: Any) -> App:
        """Start the host; it runs until `stop`, or until the end of the test."""
        running = run_app(
            self.folder,
            clock=self.clock,
            lasting=LastingParts(self.accounts),
            drain_seconds=0.2,
            settings=dict(self.configuration.settings.items()) | dict(options.pop("settings", {})),
            **options,
        )
        self.app = (await self.stack.enter_async_context(running)).app
        return self.app

    async def stop(self) -> None:
        """Stop the host."""
        with _time_passes(self.clock):
            await self.stack.aclose()
        self.app = None

    async def settle(self) -> None:
        """Let everything run that needs no time."""
        if isinstance(self.clock, VirtualClock):
            await self.clock.idle()

    async def advance(self, **span: float) -> None:
        """Let virtual time pass."""
        assert isinstance(self.clock, VirtualClock)
        await self.clock.advance(timedelta(**span))

    async def why(self, id: str = "i1", *causes: Cause) -> Explanation:
        """Return the explanation, once it names exactly these causes at the ends of its chain, or in front of them."""
        await self.settle()
        if isinstance(self.clock, VirtualClock) or not causes:
            explanation = await self.diagnosis.why(id)
            assert not causes or _names(explanation, causes), (causes, explanation.json())
            return explanation

        async def explained() -> Explanation | None:
            explanation = await self.diagnosis.why(id)
            return explanation if _names(explanation, causes) else None

        what = f"{id}: {', '.join(cause.value for cause in causes)}"
        return await eventually(explained, what, within=_SECONDS, clock=self.clock, every=0.2)


def _names(explanation: Explanation, causes: Sequence[Cause]) -> bool:
    return set(causes) <= {explanation.finding.cause, *explanation.causes}


def _time_passes(clock: Clock) -> Any:
    if isinstance(clock, VirtualClock):
        return clock.running(upkeep=True)
    return _nothing()


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@asynccontextmanager
async def situation(
    folder: Path,
    code: str,
    *,
    clock: Clock,
    storage: str,
    hub: str = "WhyHub",
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Situation]:
    """Open the storage of an app with this code. The host is not started yet."""
    write_app(folder, DURABLE_APP, code)
    settings = {f"{OPTION}hubName": hub, **(settings or {})}
    configuration = configure(
        StartOptions(app=folder, port=0, storage=storage, settings=settings, create_host_json=False), {}
    )
    async with AsyncExitStack() as outer:
        accounts = await outer.enter_async_context(open_accounts(configuration.settings, clock, log_outages=False))
        options = resolve_options(configuration.host.section(DurableTaskOptions), configuration.settings)
        client = AzureStorageTaskHub(options, accounts("AzureWebJobsStorage"), clock=clock, new_id=new_id)
        stack = AsyncExitStack()
        arranged = Situation(
            client,
            clock,
            configuration=configuration,
            accounts=accounts,
            options=options,
            folder=folder,
            stack=stack,
        )
        try:
            yield arranged
        finally:
            await arranged.stop()


def in_virtual_time(folder: Path, code: str, work: Callable[[Situation], Awaitable[None]], **options: Any) -> None:
    """Run `work` in a situation on a built-in store in memory, in virtual time."""
    clock = VirtualClock()

    async def main() -> None:
        async with situation(folder, code, clock=clock, storage="builtin:memory", **options) as arranged:
            await work(arranged)

    with asyncio.Runner(loop_factory=clock.new_loop) as runner:
        runner.run(main())


async def in_real_time(
    folder: Path, code: str, work: Callable[[Situation], Awaitable[None]], *, storage: str, **options: Any
) -> None:
    """Run `work` in a situation on this storage, in real time."""
    async with situation(folder, code, clock=SystemClock(), storage=storage, **options) as arranged:
        await work(arranged)
