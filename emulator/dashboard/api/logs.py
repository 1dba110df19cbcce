"""Endpoint `logs`: the lines of the host's log, stored ones and new ones, as server-sent events.

`GET /azemu/api/logs?follow=true&level=Warning` responds with events such as

    data: {"seq":1,"time":"…","level":"Information","category":"Function.greet.User","function":"greet",
           "invocationId":"…","instanceId":null,"isReplay":false,"message":"…"}
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Final

from aiohttp import web

from emulator.config.hostjson import LogLevel
from emulator.dashboard.event_stream import pause, send_events
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, endpoint, number_of, utc_text
from emulator.host.console.output import LevelRules
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.recording import Line

_LEVELS: Final = {level.value.lower(): rank for rank, level in enumerate(LogLevel)}
_LAST: Final = 2**53
# Category of the lines that the durable extension writes about instances, which begin with the id.
_DURABLE: Final = "Host.Triggers.DurableTask"


def logs_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoint. Its parameters:

    `after`: only lines with a higher `seq`. `last`: of the stored lines, only so many. `function`, `instance`,
    `invocation`: only lines of it. `level`: only lines of this level and higher ones. `text`: only lines that contain
    it, in any letter case. `replay=false`: no lines of replays. `verbose=false`: only what the console shows without
    --verbose. `follow=true`: send new lines, too, until the client disconnects.
    """

    async def logs(call: HttpCall) -> web.StreamResponse:
        after = number_of(call, "after", 0, highest=_LAST)
        last = number_of(call, "last", _LAST, highest=_LAST)
        follows = call.request.query.get("follow", "").lower() == "true"
        return await send_events(call, parts, _events(parts, _filter(call, parts), after, last, follows=follows))

    return [endpoint("GET", "logs", logs)]


async def _events(
    parts: DashboardParts, accepts: Callable[[Line], bool], after: int, last: int, *, follows: bool
) -> AsyncIterator[Iterable[Mapping[str, Any]]]:
    recording = parts.recording
    while True:
        # Before the lines are read, so that a line which is written meanwhile ends the wait below.
        version = recording.version
        lines = recording.lines(after)
        if lines:
            after = lines[-1].seq
        accepted = [line for line in lines if accepts(line)]
        # The parameter `last` is about the stored lines, which come first.
        yield map(line_members, accepted[max(len(accepted) - last, 0) :])
        if not follows:
            return
        last = _LAST
        await recording.wait_for_change(version)
        await pause()


def line_members(line: Line) -> dict[str, Any]:
    """Return a line as the API shows it."""
    return {
        "seq": line.seq,
        "time": utc_text(line.time),
        "level": line.level_name,
        "category": line.category,
        "function": line.function,
        "invocationId": line.invocation_id,
        "instanceId": line.instance_id,
        "isReplay": line.is_replay,
        "message": line.message,
    }


def _filter(call: HttpCall, parts: DashboardParts) -> Callable[[Line], bool]:
    """Return the condition that the query states. Raises ApiError 400."""
    query = call.request.query
    level = query.get("level", "").lower()
    if level and level not in _LEVELS:
        raise ApiError(
            400, f"The parameter level is '{level[:50]}'. Use one of: {', '.join(level.value for level in LogLevel)}."
        )
    lowest = _LEVELS[level] if level else 0
    function, text = query.get("function", "").lower(), query.get("text", "").lower()
    instance, invocation = query.get("instance"), query.get("invocation")
    # The rules of the console, so that both show the same lines.
    shown = LevelRules(configured=parts.configuration.host.logging.log_level)
    quiet = query.get("verbose", "").lower() == "false"
    without_replays = query.get("replay", "").lower() == "false"

    def accepts(line: Line) -> bool:
        return (
            _LEVELS[line.level_name.lower()] >= lowest
            and (not function or (line.function or "").lower() == function)
            and (not instance or _concerns(line, instance))
            and (not invocation or line.invocation_id == invocation)
            and (not quiet or shown.allows(line.category, LogLevel(line.level_name), line.message))
            and (not text or text in line.message.lower())
            and not (without_replays and (line.is_replay or (" IsReplay: True." in line.message and _is_durable(line))))
        )

    return accepts


def _concerns(line: Line, instance: str) -> bool:
    if line.instance_id is not None:
        return line.instance_id == instance
    return line.message.startswith(f"{instance}:") and _is_durable(line)


def _is_durable(line: Line) -> bool:
    return line.category == _DURABLE
