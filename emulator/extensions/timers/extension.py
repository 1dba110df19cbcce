"""The timers extension: timer triggers, their schedules, status and locks.

Source: docs/protocol/functions-host.md 8.2.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cached_property

from emulator.config.connections import DEFAULT_CONNECTION, ConnectionNotConfigured
from emulator.errors import EmulatorError
from emulator.extensions.timers.events import BINDING_NAME, manual_timer_event
from emulator.extensions.timers.listener import Timer, TimerListener
from emulator.extensions.timers.local_time import LocalZone, local_zone
from emulator.extensions.timers.schedule import ConstantSchedule, Schedule, parse_schedule
from emulator.extensions.timers.status_blob import StatusBlob
from emulator.host.context import ExtensionContext
from emulator.host.locks import CONTAINER
from emulator.host.port import Extension, Function, Invoke, ManualInput, Trigger, TriggerEvent
from emulator.instant import Instant
from emulator.logs import get_logger
from emulator.worker.port import Binding, member_of

_log = get_logger(__name__)

_TYPE = "timertrigger"
_USE_MONITOR, _RUN_ON_STARTUP = "useMonitor", "runOnStartup"
# Spellings of time spans without an explicit number of days: 24:00:00 (24 days), 30 (30 days), 01:00:00.
_DAYS_OR_HOURS = re.compile(r"\s*\d+(:\d+:\d+)?\s*")


class InvalidFlag(EmulatorError):
    """A member of a timer trigger that must be true or false is neither."""


def timers_extension(context: ExtensionContext) -> Extension:
    """Return the extension of timer triggers."""
    timers = _Timers(context)

    def listen(function: Function, binding: Binding, invoke: Invoke) -> AbstractAsyncContextManager[None]:
        timer = timers.timer(function, binding)
        return TimerListener(timer, invoke, context.locks, context.clock, context.wait_until_running).listening()

    async def manual_event(function: Function, binding: Binding, given: ManualInput) -> TriggerEvent:
        timer = timers.timer(function, binding)
        status = None
        if timer.status_blob is not None:
            # The function should run by hand although its storage is not available.
            with suppress(EmulatorError):
                status = await timer.status_blob.read()
        return manual_timer_event(given, timer.schedule, status, Instant.of(context.clock.now()), timer.zone)

    @asynccontextmanager
    async def run() -> AsyncIterator[None]:
        if context.first_start and timers.is_used:
            _warn(context, timers.zone)
        yield

    return Extension(
        name="timers",
        triggers={
            _TYPE: Trigger(
                listen=listen,
                validate=timers.validate,
                binding_names=lambda binding: (BINDING_NAME,),
                manual_event=manual_event,
                supports_retry=True,
                log_category="Host.Triggers.Timer",
                required_members=["schedule"],
            )
        },
        run=run,
    )


class _Timers:
    """The timer functions of a host."""

    def __init__(self, context: ExtensionContext) -> None:
        self._context = context

    # Read when the first timer function needs it, so that a wrong TZ concerns only apps with such functions.
    @cached_property
    def zone(self) -> LocalZone:
        return local_zone(self._context.settings.get("TZ"))

    @property
    def is_used(self) -> bool:
        """Whether a function has to run on a schedule."""
        functions = self._context.functions()
        return any(not function.disabled and function.trigger.type.lower() == _TYPE for function in functions)

    def validate(self, function: Function, others: Sequence[Function]) -> None:
        """Check the members. Raises InvalidSchedule, InvalidFlag, and ConfigurationError for a wrong time zone."""
        schedule = self._schedule(function.trigger)
        for name in (_USE_MONITOR, _RUN_ON_STARTUP):
            _flag(function.trigger, name, by_default=False)
        text = _schedule_text(function.trigger)
        if isinstance(schedule, ConstantSchedule) and schedule.interval.days and _DAYS_OR_HOURS.fullmatch(text):
            _log.warning(
                "The schedule '%s' of function '%s' means every %d days, here and on Azure: .NET takes a number alone, "
                "and a first part above 23, for days. Write d.hh:mm:ss, such as 1.00:00:00 for every 24 hours.",
                text,
                function.name,
                schedule.interval.days,
            )

    def timer(self, function: Function, binding: Binding) -> Timer:
        """Return what the listener needs. Raises ConfigurationError if AzureWebJobsStorage is wrong."""
        schedule = self._schedule(binding)
        is_monitored = _flag(binding, _USE_MONITOR, by_default=True)
        if is_monitored and not schedule.can_be_monitored:
            is_monitored = False
            _log.debug("UseMonitor changed to false based on schedule frequency.")
        return Timer(
            function=function.name,
            schedule=schedule,
            zone=self.zone,
            run_on_startup=_flag(binding, _RUN_ON_STARTUP, by_default=False),
            status_blob=self._status_blob(function) if is_monitored else None,
        )

    def _schedule(self, binding: Binding) -> Schedule:
        return parse_schedule(_schedule_text(binding), self.zone)

    def _status_blob(self, function: Function) -> StatusBlob | None:
        try:
            account = self._context.accounts(DEFAULT_CONNECTION)
        except ConnectionNotConfigured:
            return None
        return StatusBlob(account.container(CONTAINER), self._context.host_id, function.name, self.zone)


def _schedule_text(binding: Binding) -> str:
    return str(member_of(binding.properties, "schedule") or "")


def _flag(binding: Binding, name: str, *, by_default: bool) -> bool:
    """Return a Boolean member of the binding. Raises InvalidFlag.

    It may be a text or a number, too, as in .NET: function.json may have a `%setting%` there.
    """
    value = member_of(binding.properties, name)
    if value is None:
        return by_default
    match str(value).strip().lower():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
    raise InvalidFlag(f"'{name}' of the timer trigger '{binding.name}' is {value!r}; allowed: true, false.")


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
            "is missed while the host is stopped is not caught up, and other hosts of the app run them, too."
        )
    except EmulatorError:
        return  # A wrong connection: the listeners report it.
