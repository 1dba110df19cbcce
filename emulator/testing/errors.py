"""Errors of `emulator.testing`: the app does not do what the test waits for."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from datetime import timedelta

from emulator.errors import EmulatorError


class NothingLeft(EmulatorError):
    """The instance that a test waits for has not ended and cannot end without the test doing something.

    `status`: its runtime status; None if the instance does not exist. `reason`: why it cannot end, and `advice`: what
    the test can do, both as parts of the message. `pending`: sentences about what the instance waits for.
    """

    def __init__(
        self, instance_id: str, status: str | None, *, reason: str, advice: str, pending: Sequence[str]
    ) -> None:
        self.instance_id = instance_id
        self.status = status
        state = f"is {status}" if status is not None else "does not exist"
        waits = "".join(f" {sentence}" for sentence in pending)
        super().__init__(
            f'Waited for the end of instance "{instance_id}", but it {state}, and {reason}.{waits} {advice}'
        )


class NotAnInstanceId(EmulatorError, TypeError):
    """What a test has given as the id of an instance is not text."""

    def __init__(self, value: object) -> None:
        if inspect.isawaitable(value):
            advice = "`await` is missing: write `await client.start_new(…)`, which then returns the id."
        else:
            advice = "client.start_new returns the id; a status object has it as `instance_id`."
        super().__init__(f"The id of an instance is text, but this one is of the type {type(value).__name__}. {advice}")


def check_instance_id(value: object) -> None:
    """Refuse what is not the id of an instance. Raises NotAnInstanceId."""
    if inspect.iscoroutine(value):
        # Otherwise Python warns later that it was never awaited, which says less than the error.
        value.close()
    if not isinstance(value, str):
        raise NotAnInstanceId(value)


class TookTooLong(EmulatorError):
    """A method did not end within `seconds` of real time. `doing` completes the sentence "Could not …"."""

    def __init__(self, doing: str, seconds: float, explanation: str) -> None:
        lines = [
            # "of real time", because a test usually thinks in virtual time, and this limit has nothing to do with it.
            f"Could not {doing} within {seconds:g} s of real time.",
            *([explanation] if explanation else []),
            "If this is expected, allow more time: real_seconds= of emulator.testing.start or of the azemu marker.",
        ]
        super().__init__("\n".join(lines))


class NotSettled(EmulatorError):
    """Functions of the app still run after the time that a test has allowed."""

    def __init__(self, limit: timedelta, running: int) -> None:
        super().__init__(
            f"The app has not settled within {limit}: {running} functions are running, and others were started in the "
            "last seconds. A function may fail and be retried endlessly, write to what triggers it, or be a timer of a "
            "few seconds; app.advance(seconds=…) lets a certain time pass."
        )


class UnknownActivity(EmulatorError):
    """The app has no activity of that name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f'The app has no activity "{name}". Its activities are: {", ".join(known) or "none"}.')


class NotInvoked(EmulatorError):
    """A function cannot be invoked by the test: it does not exist, is called in another way, or refuses the input."""


class InvocationFailed(EmulatorError):
    """A function that the test has invoked has failed. `error`: the error of the last attempt, as it was logged."""

    def __init__(self, function: str, error: EmulatorError) -> None:
        super().__init__(f"The function '{function}' has failed. {error}")
        self.function = function
        self.error = error


class AppBroken(EmulatorError):
    """The app could not be loaded. The message is the official worker's."""


class FunctionsInError(UserWarning):
    """The app runs without functions that have a mistake; on Azure it has no functions because of them."""
