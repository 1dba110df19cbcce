"""The functions host: loads the functions, runs listeners and extension engines, and stops them gracefully.

    host = Host(parts, clock=clock)
    async with host.running(Drain(clock)):
        ...                              # functions are loaded, listeners are running
    # no new events, running work has ended or was given up, leases are released

The web server is not part of it (see `host.site`): it also answers while the host starts and when it failed to start.
Source: host, ScriptHost.cs, WebJobsScriptHostService.cs; docs/protocol/functions-host.md chapter 11.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from emulator.background import background
from emulator.clock import Clock, within
from emulator.config.hostjson import HostOptions
from emulator.config.settings import Settings
from emulator.errors import AppLoadError
from emulator.host.bindings import HTTP_TRIGGER, BindingTypes, cut_formats
from emulator.host.captured_outputs import CapturedOutputs, noting
from emulator.host.catalog import Catalog, build_catalog
from emulator.host.console.categories import GENERAL, STARTUP, assign_category, category
from emulator.host.drain import Drain
from emulator.host.invoker import Invoker
from emulator.host.port import Extension, Fallback, Function, ManualBindings, ManualInput, TriggerEvent
from emulator.host.recording import Recording
from emulator.host.restarting import Restartable, keep_running
from emulator.host.status import HostState, HostStatus
from emulator.ids import NewId, new_id
from emulator.storage.port import StorageOutage
from emulator.telemetry.spans import Tracer
from emulator.worker.port import FunctionMetadata, Returned, Worker
from emulator.worker.retry_policies import policy_of_options

_startup = category(STARTUP)
_general = category(GENERAL)

# An import that takes longer usually waits for something (a network, a prompt), which users should hear about.
_SLOW_IMPORT_SECONDS = 10.0

# The first two sentences are the host's, meant for .NET. The last one says what to do in Python.
_NO_FUNCTIONS = (
    "No job functions found. Try making your job classes and methods public. If you're using binding extensions "
    "(e.g. Azure Storage, ServiceBus, Timers, etc.) make sure you've called the registration method for the "
    "extension(s) in your startup code. In Python: declare functions with the decorators of the app object, as in "
    "@app.route(…), or in folders with a function.json."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostParts:
    """The parts of a host. `worker`: not entered yet. `fallback`: for binding types that no extension serves.

    `recording`: notes each invocation; `tracer`: records a span of it; None: nothing does.
    """

    worker: AbstractAsyncContextManager[Worker]
    extensions: Sequence[Extension]
    options: HostOptions
    settings: Settings
    status: HostStatus
    fallback: Fallback = field(default_factory=Fallback)
    captured_outputs: CapturedOutputs = field(default_factory=CapturedOutputs)
    recording: Recording | None = None
    tracer: Tracer | None = None


class UnknownFunction(LookupError):
    """The catalog has no function of that name."""


class Host:
    """One functions host. `catalog`: empty until the app is loaded. `status`: the state that the host is in."""

    def __init__(self, parts: HostParts, *, clock: Clock, new_id: NewId = new_id) -> None:
        self._parts = parts
        self._clock = clock
        self._new_id = new_id
        # Binding types are known before the app is loaded, and the same for all of its functions.
        note = partial(noting, captured=parts.captured_outputs, clock=clock)
        self._types = BindingTypes(parts.extensions, parts.fallback, around_output=note)
        self._invoker: Invoker | None = None
        self._stop_listening: Callable[[], None] | None = None
        self.status = parts.status
        self.catalog = Catalog()
        self._errors: list[str] = []
        self._left_out: list[str] = []
        for extension in parts.extensions:
            for trigger in extension.triggers.values():
                # Before anything runs, so that the first lines of an extension have its category already.
                assign_category(trigger.listen.__module__, trigger.log_category)

    @property
    def extensions(self) -> Sequence[Extension]:
        return self._parts.extensions

    @property
    def load_errors(self) -> Sequence[str]:
        """Why the app, or functions that the catalog lacks, could not be loaded. Empty before it is loaded."""
        return [*self._errors, *self._left_out]

    @property
    def running_invocations(self) -> int:
        return self._invoker.running if self._invoker is not None else 0

    @property
    def only_waits_for_retries(self) -> bool:
        """Whether functions run, and each of them waits for its next attempt."""
        return self._invoker is not None and self._invoker.only_waits

    @property
    def started_invocations(self) -> int:
        """Number of invocations since the host was started, running ones included."""
        return self._invoker.started if self._invoker is not None else 0

    async def invoke(self, name: str, event: TriggerEvent) -> Returned:
        """Run a function by name. Raises UnknownFunction, and what `Invoke` raises."""
        function = self.catalog.find(name)
        # Before the app is loaded the catalog is empty, and callers cannot tell the difference.
        if function is None or self._invoker is None:
            raise UnknownFunction(name)
        return await self._invoker.invoke(function, event)

    async def manual_event(self, function: Function, given: ManualInput) -> TriggerEvent:
        """Return the event of a manual invocation. Raises EmulatorError if the function cannot be run in this way."""
        return await self._types.trigger(function.trigger).manual_event(function, function.trigger, given)

    def manual_bindings(self) -> Sequence[ManualBindings]:
        """Return the functions whose trigger, inputs or outputs azemu does not connect to their services."""
        types, functions = self._types, []
        for function in self.catalog.functions:
            prepared = self.catalog.prepared[function.name]
            inputs = [bound.binding for bound in prepared.inputs if types.input(bound.binding).is_supplied]
            outputs = [bound.binding for bound in prepared.outputs if types.output(bound.binding).is_captured]
            is_manual = types.trigger(function.trigger).is_manual
            if is_manual or inputs or outputs:
                functions.append(ManualBindings(function, is_manual, inputs, outputs))
        return functions

    def drain(self) -> None:
        """Stop all listeners but those of HTTP triggers; running invocations continue. Returns at once."""
        _general.info("DrainMode mode enabled")
        # HTTP triggers stay, as on Azure: the caller decides when to send no more requests.
        if self._stop_listening is not None:
            self._stop_listening()

    def stop_retrying(self) -> None:
        """End all waits for a retry. Called when the host is about to stop, before requests and listeners end."""
        if self._invoker is not None:
            self._invoker.stop_retrying()

    @asynccontextmanager
    async def running(self, drain: Drain) -> AsyncIterator[None]:
        """Run the host while entered. If the app cannot be loaded, the body runs without functions (`status.errors`).

        When the body ends, listeners and running invocations together get the time that `drain` has left. Listeners
        that need longer are cancelled, invocations are abandoned.
        """
        started_at = self._clock.now()
        self.status.change(HostState.STARTING)
        # The exit stack leaves in reverse order: listeners first, so that no new events arrive; then the engines,
        # which functions that still run may need (a durable client calls the engine's RPC endpoint); then the
        # invocations that are still running; the worker last, because all of them use it.
        async with AsyncExitStack() as stack:
            stack.callback(self.status.change, HostState.STOPPED)
            worker = await stack.enter_async_context(self._parts.worker)
            _general.info("Worker process started and initialized.")
            await self._load(worker)
            self._invoker = invoker = Invoker(
                worker,
                self._types,
                prepared=self.catalog.prepared,
                clock=self._clock,
                new_id=self._new_id,
                timeout=self._parts.options.function_timeout,
                retry=policy_of_options(self._parts.options.retry),
                recording=self._parts.recording,
                tracer=self._parts.tracer,
            )
            stack.push_async_callback(self._wait_until_idle, invoker, drain)
            engines = [
                Restartable(extension.name, extension.run, _EngineReporter(extension.name))
                for extension in self._parts.extensions
            ]
            await stack.enter_async_context(keep_running(engines, self._clock))
            http_listeners = keep_running(
                self._listeners(invoker, http=True), self._clock, stop_seconds=drain.stop_seconds
            )
            await stack.enter_async_context(http_listeners)
            # Requests that arrive early wait for this state, and must find their routes then. So HTTP listeners, which
            # fill the route table, start before all others.
            self._reached(HostState.INITIALIZED, "Host initialized", started_at)
            listeners = keep_running(self._listeners(invoker, http=False), self._clock, stop_seconds=drain.stop_seconds)
            self._stop_listening = await stack.enter_async_context(listeners)
            self._reached(HostState.RUNNING, "Host started", started_at)
            try:
                yield
            finally:
                drain.begin()
                # A retry would use up the time that running work has to end.
                invoker.stop_retrying()
                if self.status.state is not HostState.ERROR:
                    self.status.change(HostState.STOPPING)
                _startup.info("Stopping host...")

    async def _wait_until_idle(self, invoker: Invoker, drain: Drain) -> None:
        try:
            await within(self._clock, max(drain.left_seconds(), 0), invoker.wait_until_idle(), upkeep=True)
        except TimeoutError:
            _general.warning(
                "Host did not shutdown within its allotted time: %d invocations are given up.", invoker.running
            )
        else:
            _general.info("Host shutdown completed.")

    # Starting --------------------------------------------------------------------------------------------------------

    async def _load(self, worker: Worker) -> None:
        async def warn_of_slow_import() -> None:
            await self._clock.sleep(_SLOW_IMPORT_SECONDS, upkeep=True)
            _general.warning(
                "The app has been importing its modules for %.0f seconds. No function can run until the import has "
                "ended.",
                _SLOW_IMPORT_SECONDS,
            )

        _startup.info("Loading functions metadata")
        try:
            async with background(warn_of_slow_import()):
                indexed = await worker.load()
        except AppLoadError as error:
            # The host runs without functions, as on Azure. Unlike there, /admin/host/status shows the reason. With
            # --reload the user's next change restarts the host.
            _general.error("Worker failed to index functions\n%s", error)
            self._errors = [str(error)]
            indexed = []
        for metadata in indexed:
            if metadata.configuration_error is not None:
                # Azure runs the app without a function whose function.json is invalid: that is not an error of the app.
                errors = self._errors if metadata.fails_app_on_azure else self._left_out
                errors.append(metadata.configuration_error)
        _startup.info("%d functions found (Worker)", len(indexed))
        # On Azure a host for another language finds no functions either. Running them all the same would hide a setting
        # that breaks the app after its deployment.
        runtime = self._parts.settings.get("FUNCTIONS_WORKER_RUNTIME") or "python"
        if runtime.lower() != "python":
            problem = f"Did not find functions with language [{runtime}]. FUNCTIONS_WORKER_RUNTIME must be 'python'."
            _general.error("%s", problem)
            self.status.change(HostState.ERROR, errors=[problem])
            return
        self.catalog = self._index(indexed)

    def _index(self, indexed: Sequence[FunctionMetadata]) -> Catalog:
        parts = self._parts
        only = parts.options.functions
        # If the app could not be loaded, nothing is known about its functions.
        if only is not None and (indexed or not self._errors):
            _startup.info(
                "A function allow list has been specified, excluding all but the following functions: [%s]",
                ", ".join(only),
            )
            known = [metadata.name for metadata in indexed]
            # Azure says nothing about names that do not exist, so that a typing mistake looks like a missing function.
            known_in_lower_case = {name.lower() for name in known}
            for name in only:
                if name.lower() not in known_in_lower_case:
                    _startup.warning(
                        "The list of functions to run (--functions, or \"functions\" in host.json) names '%s', which "
                        "the app does not have. The app has: %s.",
                        name,
                        ", ".join(known) or "none",
                    )

        def is_disabled(function: FunctionMetadata) -> bool:
            # The second spelling is for systems where environment variables cannot have dots in their names.
            settings = [f"AzureWebJobs.{function.name}.Disabled", f"AzureWebJobs_{function.name}_Disabled"]
            if isinstance(function.disabled, str):
                settings.append(function.disabled)
            return function.disabled is True or any(map(parts.settings.flag, settings))

        catalog = build_catalog(indexed, self._types, expand=parts.settings.expand, is_disabled=is_disabled, only=only)
        self._report(catalog)
        # An allow list may well leave nothing, and the warning above names its unknown functions. After an error of
        # loading the advice would mislead, although the Functions host gives it then, too.
        if not catalog.functions and only is None and not self._errors:
            _general.warning(_NO_FUNCTIONS)
        return catalog

    def _report(self, catalog: Catalog) -> None:
        """Log what the user has to know about the functions: mistakes, disabled ones, doubtful retry policies."""
        for problem in catalog.problems:
            for line in problem.lines:
                _startup.error("%s", line)
        for function in catalog.functions:
            if function.metadata.load_error is not None:
                _general.error(
                    "Worker failed to load function: '%s' with functionId: '%s'.\n%s",
                    function.name,
                    function.metadata.id,
                    function.metadata.load_error,
                )
            if function.disabled:
                _startup.info("Function 'Functions.%s' is disabled", function.name)
            for line in cut_formats(catalog.prepared[function.name]):
                _startup.warning("%s", line)
            if function.metadata.retry is not None and not self._types.trigger(function.trigger).supports_retry:
                _startup.warning(
                    "Soon retries will not be supported for function '%s'. For more information, please visit "
                    "http://aka.ms/func-retry-policies.",
                    function.name,
                )

    def _listeners(self, invoker: Invoker, *, http: bool) -> list[Restartable]:
        def restartable(function: Function) -> Restartable:
            listen = self._types.trigger(function.trigger).listen
            # A new context manager for every attempt, because one cannot be entered twice.
            return Restartable(
                f"listener of {function.name}",
                lambda: listen(function, function.trigger, partial(invoker.invoke, function)),
                _ListenerReporter(function.name),
            )

        return [
            restartable(function)
            for function in self.catalog.functions
            if not function.disabled and (function.trigger.type.lower() == HTTP_TRIGGER) is http
        ]

    def _reached(self, state: HostState, message: str, started_at: datetime) -> None:
        # A host that failed to load the app stays in ERROR until it stops, so that the admin API keeps showing why.
        if self.status.state is HostState.ERROR:
            return
        self.status.change(state, errors=self._errors)
        _startup.info("%s (%dms)", message, (self._clock.now() - started_at) // timedelta(milliseconds=1))


class _Reporter:
    """Names a part of the host in its log lines. `_log_restart`, `_log_recovery`: of the level for the last failure."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._log_restart = self._log_recovery = _startup.debug

    def _is_outage(self, error: Exception) -> bool:
        # The account has logged it. A lock that could not be renewed has the error of storage as its cause.
        is_outage = isinstance(error, StorageOutage) or isinstance(error.__cause__, StorageOutage)
        # The recovery from another failure is a warning,
        # because the console shows the failure by default, and would not show this.
        self._log_restart = _startup.debug if is_outage else _startup.info
        self._log_recovery = _startup.debug if is_outage else _startup.warning
        return is_outage


class _ListenerReporter(_Reporter):
    """Logs about the listener of a function, in the words of the Functions host where it has them."""

    def failed(self, error: Exception, *, entered: bool) -> None:
        if self._is_outage(error):
            return
        how = "stopped unexpectedly" if entered else "was unable to start"
        text = "The listener for function 'Functions.%s' %s."
        _startup.error(text, self._name, how, exc_info=error)

    def restarting(self, attempt: int) -> None:
        self._log_restart("Retrying to start listener for function 'Functions.%s' (Attempt %d)", self._name, attempt)

    def started(self, retries: int) -> None:
        # A start without trouble is not logged: there is one per function, and "Host started" covers them all.
        if retries:
            self._log_recovery(
                "Listener successfully started for function 'Functions.%s' after %d retries.", self._name, retries
            )

    def cancelled(self) -> None:
        _startup.warning(
            "The listener for function 'Functions.%s' did not stop within its allotted time and was cancelled.",
            self._name,
        )


class _EngineReporter(_Reporter):
    """Logs about the part of an extension that runs beside the listeners."""

    def failed(self, error: Exception, *, entered: bool) -> None:
        if self._is_outage(error):
            return
        how = "stopped unexpectedly" if entered else "was unable to start"
        _startup.error("The extension '%s' %s.", self._name, how, exc_info=error)

    def restarting(self, attempt: int) -> None:
        self._log_restart("Restarting the extension '%s' (attempt %d)", self._name, attempt)

    def started(self, retries: int) -> None:
        if retries:
            self._log_recovery("The extension '%s' is running after %d retries.", self._name, retries)

    def cancelled(self) -> None:
        _startup.warning("The extension '%s' did not stop within its allotted time and was cancelled.", self._name)
