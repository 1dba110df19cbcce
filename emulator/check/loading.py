"""Loading of an app as a host does it, without listeners, storage requests and invocations.

async with open_loader(configuration) as loader:
    loaded = loader.load()
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence, Set
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from logging import Handler, LogRecord
from pathlib import Path
from typing import Any, Final

from emulator import own_modules
from emulator.accounts import open_accounts
from emulator.clock import Clock, SystemClock
from emulator.config.connections import DEFAULT_CONNECTION
from emulator.config.missing_settings import is_connected
from emulator.config.settings import Settings
from emulator.config.source_scan import SETTING_REFERENCE, setting_use
from emulator.config.start import Configuration
from emulator.environment import PROCESS
from emulator.errors import AppLoadError
from emulator.extensions.registry import fallback, open_extensions
from emulator.host.bindings import BindingTypes
from emulator.host.captured_outputs import CapturedOutputs
from emulator.host.catalog import Catalog, build_catalog
from emulator.host.context import ExtensionContext
from emulator.host.http.callers import CallerRules
from emulator.host.http.routing.routes import FunctionRoutes
from emulator.host.local_locks import LocalHostLocks
from emulator.host.supplied_inputs import SuppliedInputs
from emulator.ids import new_id
from emulator.logs import get_logger
from emulator.worker.app_loading import load_app
from emulator.worker.boundary.app_modules import AppModules
from emulator.worker.failures import app_load_error
from emulator.worker.loader import script_name
from emulator.worker.mistakes import unregistered_blueprints
from emulator.worker.port import Binding, FunctionMetadata

# The value of connections: an empty store in memory.
_NOWHERE: Final = "builtin:memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualBinding:
    """A binding of a service that azemu does not call."""

    function: FunctionMetadata
    binding: Binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What loading an app has shown. `error`: why it could not be loaded, in the worker's text, with its cause.

    `functions`: all that the worker has found. `catalog`: those that can run, and the problems of the others.
    `files`: the files of the app's folder that were imported. `blueprints`: messages about unregistered ones.
    """

    error: AppLoadError | None = None
    functions: Sequence[FunctionMetadata] = ()
    catalog: Catalog = field(default_factory=Catalog)
    files: Sequence[Path] = ()
    blueprints: Sequence[str] = ()
    manual: Sequence[ManualBinding] = ()


class Loader:
    """Loads one app.

    `typos`: warnings about keys of the extensions in host.json that are probably misspelled. `notes`: what the
    extensions say about options that they do not have.
    """

    def __init__(
        self,
        configuration: Configuration,
        types: BindingTypes,
        clock: Clock,
        *,
        typos: Sequence[str],
        notes: Sequence[str],
    ) -> None:
        self._configuration = configuration
        self._types = types
        self._clock = clock
        self.typos = typos
        self.notes = notes

    def load(self) -> Loaded:
        """Import the app and index its functions. Call it on an event loop, as modules may need a running one."""
        root = self._configuration.root
        before = set(sys.modules)
        with ExitStack() as stack:
            stack.enter_context(PROCESS.containing(self._configuration.environment(self._configuration.port)))
            stack.enter_context(AppModules(root))
            stack.enter_context(_collected_warnings())
            # What the app prints must not become part of the report.
            stack.enter_context(redirect_stdout(sys.stderr))
            try:
                app = load_app(root, script_name(os.environ), self._clock)
            # Also SystemExit: a script may call sys.exit().
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                failed = error if isinstance(error, AppLoadError) else app_load_error(error, list(sys.path))
                failed.__cause__ = failed.__cause__ or error
                return Loaded(error=failed, files=_files_below(root, before))
            blueprints = [] if app.app is None else list(unregistered_blueprints(app.app, root))
            settings = self._configuration.settings
            # Without its settings a function cannot be judged: they may be set on Azure only.
            complete = [function for function in app.metadata if not lacks_settings(function, settings)]
            catalog = build_catalog(complete, self._types, expand=settings.expand, is_disabled=lambda function: False)
            return Loaded(
                functions=app.metadata,
                catalog=catalog,
                files=_files_below(root, before),
                blueprints=blueprints,
                manual=list(self.manual_bindings(app.metadata)),
            )

    def manual_bindings(self, functions: Sequence[FunctionMetadata]) -> Iterator[ManualBinding]:
        """Yield the bindings of functions that azemu does not connect to their services."""
        for function in functions:
            for binding in function.bindings:
                if binding.is_trigger:
                    is_manual = self._types.trigger(binding).is_manual
                elif binding.direction == "in":
                    is_manual = self._types.input(binding).is_supplied
                else:
                    is_manual = self._types.output(binding).is_captured
                if is_manual:
                    yield ManualBinding(function=function, binding=binding)


@asynccontextmanager
async def open_loader(configuration: Configuration) -> AsyncIterator[Loader]:
    """Create the extensions of a host, which check their options. Raises ConfigurationError."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        # No storage is used, so a file of the built-in store must not be created.
        values = {name: value for name, value in configuration.settings.items() if value.lower().startswith("builtin")}
        # Without a value for the default storage, a host would use local storage.
        default = [] if configuration.settings.get(DEFAULT_CONNECTION) else [DEFAULT_CONNECTION]
        settings = configuration.settings.with_values(dict.fromkeys([*values, *default], _NOWHERE))
        accounts = await stack.enter_async_context(open_accounts(settings, clock))
        context = ExtensionContext(
            options=configuration.host,
            settings=settings,
            accounts=accounts,
            clock=clock,
            new_id=new_id,
            host_id="check",
            open_locks=LocalHostLocks,
            stop_seconds=lambda: 0.0,
            functions=lambda: (),
            load_errors=lambda: (),
            captured_outputs=CapturedOutputs(),
            supplied_inputs=SuppliedInputs(),
            routes=FunctionRoutes(),
            callers=CallerRules.of(configuration),
            wait_until_running=_never,
            wait_until_stopping=_never,
            system_key=_never,
            origin=lambda: "http://localhost",
            any_port=True,
            hosts_folder=None,
            storage_restarted=False,
            tracer=None,
            first_start=True,
            resources=stack.enter_context(ExitStack()),
        )
        with _collected_warnings() as warnings:
            types = BindingTypes(open_extensions(context), fallback(context))
        # ExtensionContext.section logs the typing mistakes.
        typos = [each.getMessage() for each in warnings if each.name == ExtensionContext.__module__]
        notes = [each.getMessage() for each in warnings if each.name != ExtensionContext.__module__]
        yield Loader(configuration, types, clock, typos=list(dict.fromkeys(typos)), notes=list(dict.fromkeys(notes)))


def lacks_settings(function: FunctionMetadata, settings: Settings) -> bool:
    """Whether a binding of a function names a setting that has no value."""
    for binding in function.bindings:
        for key, value in binding.properties.items():
            if not isinstance(value, str):
                continue
            if any(not settings.get(name) for name in SETTING_REFERENCE.findall(value)):
                return True
            if setting_use(key) is not None and not is_connected(settings, value):
                return True
    return False


async def _never(*arguments: object) -> Any:
    raise AssertionError("no listener, engine or key is used in a check")


@contextmanager
def _collected_warnings() -> Iterator[list[LogRecord]]:
    """Collect the warnings of azemu's own loggers instead of printing them."""
    collected: list[LogRecord] = []

    class Collector(Handler):
        def emit(self, record: LogRecord) -> None:
            collected.append(record)

    handler, logger = Collector(level=30), get_logger("emulator")
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield collected
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _files_below(root: Path, before: Set[str]) -> list[Path]:
    """Return the Python files of the app's folder whose modules were loaded. `before`: those that were loaded then."""
    prefix = f"{root}{os.sep}"
    files = [getattr(module, "__file__", None) for name, module in list(sys.modules.items()) if name not in before]
    return [
        Path(file)
        for file in files
        # azemu itself may be below the app's folder, too.
        if isinstance(file, str) and file.startswith(prefix) and not file.startswith(own_modules.PREFIX)
    ]
