"""The context of extensions: everything that the functions host gives to the factory of an extension.

    def timer_extension(context: ExtensionContext) -> Extension:
        options = context.section(TimerOptions)  # extensions.timers of host.json
        …

The factories are called before the host starts. So facts that are known only later, such as the functions, are
functions themselves, to be called when they are needed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from emulator.clock import Clock
from emulator.config.hostjson import HostOptions
from emulator.config.schema import SectionOptions
from emulator.config.settings import Settings
from emulator.host.captured_outputs import CapturedOutputs
from emulator.host.http.callers import CallerRules
from emulator.host.http.routing.routes import FunctionRoutes
from emulator.host.port import Function, HostLocks
from emulator.host.supplied_inputs import SuppliedInputs
from emulator.ids import NewId
from emulator.logs import get_logger
from emulator.storage.accounts import StorageAccounts
from emulator.telemetry.spans import Tracer

T = TypeVar("T", bound=SectionOptions)

_log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExtensionContext:
    """What an extension may use.

    Storage: `accounts` maps connection names to accounts; the name is the binding's `connection`, or DEFAULT_CONNECTION
    if it has none. It raises ConnectionNotConfigured in the words of the host. `host_id` is part of this app's paths in
    storage. `hosts_folder`: where hosts of this app on this machine leave what the next one needs if they are killed;
    None: they leave nothing. `storage_restarted`: the storage emulator may have lost writes of the last host.

    Time: all waiting goes through `clock`, and polling pauses and renewals pass `upkeep=True`. `stop_seconds`: how
    long running work may take from now on when the host stops; listeners are cancelled then, and the work of
    `Extension.run` must have given up by itself. `wait_until_running` returns when every listener has started, or when
    it is certain that none will; `wait_until_stopping` when the host begins to stop. `resources`: left after the host
    has stopped.

    `functions`: those of the catalog, disabled ones included; empty until the app is loaded, complete when `run` or
    `listen` is entered. `load_errors`: why the app, or functions that the catalog lacks, could not be loaded.
    `captured_outputs`, `supplied_inputs`: values of bindings whose service azemu does not call.

    HTTP: `routes`: the route table of the web server, for HTTP triggers. `callers`: which requests a server of the
    extension may accept, and which forwarded host names it may use. `system_key`: the value of the system key of
    that name, which is created if there is none. `origin`: where this host serves HTTP, such as
    `http://localhost:7071`. `any_port`: the host got a free port instead of a fixed one, so that ports which extensions
    open must not be fixed either.

    `tracer`: records spans; None: nothing does.

    `first_start`: False after a restart by the supervisor, when what concerns settings has been said already.
    """

    options: HostOptions
    settings: Settings
    accounts: StorageAccounts
    clock: Clock
    new_id: NewId
    host_id: str
    open_locks: Callable[[], HostLocks]
    stop_seconds: Callable[[], float]
    functions: Callable[[], Sequence[Function]]
    load_errors: Callable[[], Sequence[str]]
    captured_outputs: CapturedOutputs
    supplied_inputs: SuppliedInputs
    routes: FunctionRoutes
    callers: CallerRules
    wait_until_running: Callable[[], Awaitable[None]]
    wait_until_stopping: Callable[[], Awaitable[None]]
    system_key: Callable[[str], Awaitable[str]]
    origin: Callable[[], str]
    any_port: bool
    hosts_folder: Path | None
    storage_restarted: bool
    first_start: bool
    tracer: Tracer | None
    resources: ExitStack

    def section(self, options: type[T]) -> T:
        """Read the extension's section of host.json into its own dataclass. Raises ConfigurationError."""
        read = self.options.section(options)
        if self.first_start:
            for typo in self.options.typos(options):
                _log.warning("%s", typo)
        return read

    # `cached_property` needs an instance dictionary, which is why this dataclass has no slots.
    @cached_property
    def locks(self) -> HostLocks:
        """The host's locks. Created at first use, so that apps without such triggers make no requests for them."""
        return self.open_locks()
