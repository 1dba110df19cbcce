"""What a test is told when its app does not do what it waits for."""

from __future__ import annotations

from collections.abc import Sequence

from emulator.errors import EmulatorError

_NOTHING_LEFT = "nothing is left that could let it go on (an event that nobody raised?)"


class NothingLeft(EmulatorError):
    """The instance has not ended, and nothing is left that could let it go on. `status`: its last one, or None."""

    def __init__(self, instance_id: str, status: str | None, pending: Sequence[str], limited: str = "") -> None:
        self.instance_id = instance_id
        self.status = status
        known = f"is {status}" if status is not None else "does not exist"
        waits = f" It waits for: {'; '.join(pending)}." if pending else ""
        usual = "nothing but its resumption lets it go on" if status == "Suspended" else _NOTHING_LEFT
        super().__init__(f'Instance "{instance_id}" {known}, and {limited or usual}.{waits}')


class TookTooLong(EmulatorError):
    """Something did not end within `seconds` of real time."""

    def __init__(self, doing: str, seconds: float, explanation: str) -> None:
        super().__init__(f"Could not {doing} within {seconds:g} s of real time.\n{explanation}")


class UnknownActivity(EmulatorError):
    """The app has no activity of that name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f'The app has no activity "{name}". It has: {", ".join(known) or "none"}.')


class AppBroken(EmulatorError):
    """The app could not be loaded. The message is the official worker's."""
