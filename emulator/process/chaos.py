"""Chaos of `azemu start --chaos`: faults in the host process, its crashes, and the report at the stop."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from emulator import exit_codes
from emulator.accounts import connections_of, open_accounts
from emulator.chaos import violations as broken_rules
from emulator.chaos.activity_runs import ActivityRuns, read_runs, recording_activities
from emulator.chaos.app_check import check_app
from emulator.chaos.plan import FaultPlan, Injected
from emulator.chaos.report import MISTAKE, report_text
from emulator.chaos.storage import Crash, around_account
from emulator.clock import Clock, SystemClock
from emulator.config.connections import BuiltinConnection
from emulator.config.start import Configuration
from emulator.errors import ConfigurationError, EmulatorError
from emulator.host.http.server.open_requests import is_answering
from emulator.logs import get_logger
from emulator.process.chaos_options import ChaosOptions
from emulator.storage.endpoints import is_emulated
from emulator.storage.port import StorageAccount
from emulator.worker.port import Worker

_log = get_logger(__name__)

_MAX_CRASHES: Final = 3
_FAULTS, _RUNS = "faults.txt", "activities.jsonl"


class HostChaos:
    """The faults of one host process: wrappers for `open_app`."""

    def __init__(self, options: ChaosOptions) -> None:
        self._options = options
        self._crash = Crash(then=lambda fault: os._exit(exit_codes.CHAOS))
        self._plan = FaultPlan(
            seed=options.seed,
            crashes=1 if options.may_crash and options.run <= _MAX_CRASHES else 0,
            run=options.run,
            # A host that cannot reach its storage at its start ends, in Azure too.
            active=False,
            note=self._note,
        )

    @contextmanager
    def happening(self) -> Iterator[None]:
        """Let faults happen while entered: a host starts and stops without them."""
        self._plan.active = True
        try:
            yield
        finally:
            self._plan.active = False

    def around_account(self, account: StorageAccount) -> StorageAccount:
        """Return the account with faults."""
        return around_account(account, self._plan, clock=SystemClock(), crash=self._crash, is_spared=is_answering)

    def around_worker(self, worker: AbstractAsyncContextManager[Worker]) -> AbstractAsyncContextManager[Worker]:
        """Return the worker, whose runs of activities are noted for the report."""
        return recording_activities(ActivityRuns(self._options.folder / _RUNS), worker)

    def _note(self, fault: Injected) -> None:
        _log.warning("Chaos: %s.", fault)
        # OSError: the system has deleted the temporary folder. The report is then incomplete.
        with suppress(OSError), (self._options.folder / _FAULTS).open("a", encoding="utf-8") as faults:
            faults.write(f"{fault}\n")


def check_storage(configuration: Configuration) -> None:
    """Raise ConfigurationError if the app has storage in which faults must not happen."""
    for name, connection in connections_of(configuration.settings):
        if isinstance(connection, BuiltinConnection):
            if connection.path is None:
                raise ConfigurationError(
                    f"--chaos: the storage of the setting '{name}' is in memory and would be lost when the host "
                    "crashes. Use --storage builtin, or Azurite."
                )
        elif not is_emulated(connection):
            raise ConfigurationError(
                f"--chaos: the setting '{name}' names a storage account in Azure. Others may use it, and faults could "
                "damage its data: messages are sent twice and locks are lost. Use local storage: "
                f"--storage builtin, and {name}=UseDevelopmentStorage=true in local.settings.json."
            )


@contextmanager
def prepared(
    seed: int, configuration: Configuration, print_line: Callable[[str], None], *, may_crash: bool
) -> Iterator[ChaosOptions]:
    """Announce the seed; yield the options of the first host process. Raises what `check_storage` raises."""
    check_storage(configuration)
    print_line(f"Chaos with seed {seed}: --chaos {seed} repeats this plan of faults.")
    with TemporaryDirectory(prefix="azemu-", ignore_cleanup_errors=True) as folder:
        yield ChaosOptions(seed=seed, folder=Path(folder), may_crash=may_crash)


@asynccontextmanager
async def reporting(
    options: ChaosOptions, configuration: Callable[[], Configuration], print_line: Callable[[str], None]
) -> AsyncIterator[None]:
    """Print the report of all host processes when the body is left, for whatever reason."""
    try:
        yield
    finally:
        print_line(await _report(options, configuration()))


async def _report(options: ChaosOptions, configuration: Configuration) -> str:
    clock: Clock = SystemClock()
    file = options.folder / _FAULTS
    faults = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    try:
        async with open_accounts(configuration.settings, clock) as accounts:
            # Instances may still wait for something that the next start of azemu brings.
            violations = await check_app(configuration, accounts, clock, settled=False)
            rules = broken_rules.report(violations) + (f"\n{MISTAKE}" if violations else "")
    except EmulatorError as error:
        rules = f"The rules of the task hub could not be checked: {error}"
    return report_text(options.seed, faults, rules, read_runs(options.folder / _RUNS).repeated())
