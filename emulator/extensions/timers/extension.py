"""The timers extension: timer triggers, their schedules, status and locks.

Source: docs/protocol/functions-host.md 8.2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cache

from emulator.config.connections import DEFAULT_CONNECTION, ConnectionNotConfigured
from emulator.errors import EmulatorError
from emulator.extensions.timers.events import BINDING_NAME, manual_timer_event
from emulator.extensions.timers.listener import Timer, TimerListener
from emulator.extensions.timers.local_time import LocalZone, local_zone
from emulator.extensions.timers.schedule import Schedule, parse_schedule
from emulator.extensions.timers.status_blob import StatusBlob
from emulator.host.context import ExtensionContext
from emulator.host.locks import CONTAINER
from emulator.host.port import Extension, Function, Invoke, ManualInput, Trigger, TriggerEvent
from emulator.instant import Instant
from emulator.logs import get_logger
from emulator.worker.port import Binding, member_of

_log = get_logger(__name__)

_TYPE = "timertrigger"


def timers_extension(context: ExtensionContext) -> Extension:
    """Return the extension of timer triggers."""

    # Read when the first timer function needs it, so that a wrong TZ concerns only apps with such functions.
    @cache
    def zone() -> LocalZone:
        return local_zone(context.settings.get("TZ"))

    def schedule_of(binding: Binding) -> Schedule:
        return parse_schedule(str(member_of(binding.properties, "schedule") or ""), zone())

    def status_blob(function: Function) -> StatusBlob | None:
        try:
            account = context.accounts(DEFAULT_CONNECTION)
        except ConnectionNotConfigured:
            return None
        return StatusBlob(account.container(CONTAINER), context.host_id, function.name, zone())

    def timer_of(function: Function, binding: Binding) -> Timer:
        schedule = schedule_of(binding)
        is_monitored = _flag(binding, "useMonitor", by_default=True)
        if is_monitored and not schedule.can_be_monitored:
            is_monitored = False
            _log.debug("UseMonitor changed to false based on schedule frequency.")
        return Timer(
            function=function.name,
            schedule=schedule,
            zone=zone(),
            run_on_startup=_flag(binding, "runOnStartup", by_default=False),
            status_blob=status_blob(function) if is_monitored else None,
        )

    def validate(function: Function, others: Sequence[Function]) -> None:
        schedule_of(function.trigger)

    def listen(function: Function, binding: Binding, invoke: Invoke) -> AbstractAsyncContextManager[None]:
        timer = timer_of(function, binding)
        return TimerListener(timer, invoke, context.locks, context.clock, context.wait_until_running).listening()

    async def manual_event(function: Function, binding: Binding, given: ManualInput) -> TriggerEvent:
        timer = timer_of(function, binding)
        status = None
        if timer.status_blob is not None:
            # The function should run by hand although its storage is not available.
            with suppress(EmulatorError):
                status = await timer.status_blob.read()
        return manual_timer_event(given, timer.schedule, status, Instant.of(context.clock.now()), zone())

    def has_timers() -> bool:
        return any(not function.disabled and function.trigger.type.lower() == _TYPE for function in context.functions())

    @asynccontextmanager
    async def run() -> AsyncIterator[None]:
        if has_timers() and context.first_start:
            _warn(context, zone())
        yield

    return Extension(
        name="timers",
        triggers={
            _TYPE: Trigger(
                listen=listen,
                validate=validate,
                binding_names=lambda binding: (BINDING_NAME,),
                manual_event=manual_event,
                supports_retry=True,
                log_category="Host.Triggers.Timer",
            )
        },
        run=run,
    )


def _flag(binding: Binding, name: str, *, by_default: bool) -> bool:
    """Return a Boolean member of the binding. In function.json it may be a text, such as a `%setting%`."""
    value = member_of(binding.properties, name)
    return by_default if value is None else str(value).strip().lower() in ("true", "1")


def _warn(context: ExtensionContext, zone: LocalZone) -> None:
    azure_zone = context.settings.get("WEBSITE_TIME_ZONE")
    if azure_zone and not context.settings.get("TZ"):
        _log.warning(
            "The setting WEBSITE_TIME_ZONE (%s) has no effect outside Azure. Schedules go by the time zone of this "
            "computer, %s. To use another one here, set TZ to its name, such as Europe/Berlin, in the environment.",
            azure_zone,
            zone.name,
        )
    try:
        context.accounts(DEFAULT_CONNECTION)
    except ConnectionNotConfigured:
        _log.warning(
            "The app has no storage (AzureWebJobsStorage), so timer functions run without a stored status: a run that "
            "is missed while the host is stopped is not made up for, and other hosts of the app run them, too."
        )
    except EmulatorError:
        return  # A wrong connection: the listeners report it.
