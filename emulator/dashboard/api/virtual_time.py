"""Endpoints of the virtual clock of an app under test: what waits for time, and letting time pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from aiohttp import web

from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, body_members, endpoint, utc_text
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall, Route

_MAX_SECONDS: Final = 366 * 86400
_MAX_WAITING: Final = 50


def time_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoints `time` and `time/advance`; none for an app that lives in real time."""
    control = parts.time
    if control is None:
        return []

    async def state(call: HttpCall) -> web.Response:
        # Virtual time does not stop for upkeep such as polls and renewals.
        waiting = [sleeper for sleeper in control.sleepers() if not sleeper.upkeep]
        return json_response(
            {
                "now": utc_text(parts.clock.now()),
                "isFrozen": control.is_frozen,
                "waiting": [
                    {"due": utc_text(sleeper.due), "where": sleeper.where, "isSchedule": sleeper.recurring}
                    for sleeper in waiting[:_MAX_WAITING]
                ],
            }
        )

    async def advance(call: HttpCall) -> web.Response:
        """Let `{"seconds": N}` pass, or the time until the next task is due (`{"seconds": null}`)."""
        seconds = (await body_members(call, parts)).get("seconds")
        if seconds is None:
            due = min((sleeper.due for sleeper in control.sleepers() if not sleeper.upkeep), default=None)
            if due is None:
                raise ApiError(409, "Nothing waits for time.")
            # It may be due already while functions run.
            span = max(due - parts.clock.now(), timedelta(0))
        elif isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= _MAX_SECONDS:
            span = timedelta(seconds=seconds)
        else:
            raise ApiError(400, f"seconds must be a number from 0 to {_MAX_SECONDS}, or null.")
        if control.is_frozen:
            raise ApiError(409, "Time is frozen by the test.")
        await control.advance(span)
        return json_response({"now": utc_text(parts.clock.now())})

    return [endpoint("GET", "time", state), endpoint("POST", "time/advance", advance)]
