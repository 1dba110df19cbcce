"""Durations as .NET's TimeSpan writes them: `hh:mm:ss`, `d.hh:mm:ss.fffffff`, or a whole number of days.

Source: .NET BCL, TimeSpan.Parse and TimeSpan.ToString.
"""

from __future__ import annotations

import re
from datetime import timedelta

_PATTERN = re.compile(
    r"(?P<sign>-)?(?:(?P<only_days>\d{1,8})|(?:(?P<days>\d{1,8})[.:](?=\d+:\d+:\d+))?"
    r"(?P<hours>\d{1,8}):(?P<minutes>\d+)(?::(?P<seconds>\d+)(?:\.(?P<fraction>\d{1,7}))?)?)"
)


def parse_timespan(text: str) -> timedelta:
    """Read a duration. Raises ValueError for a text that TimeSpan.Parse does not accept."""
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a time span: {text!r}")
    if match["only_days"] is not None:
        span = timedelta(days=int(match["only_days"]))
    else:
        days, hours, minutes = int(match["days"] or 0), int(match["hours"]), int(match["minutes"])
        seconds = int(match["seconds"] or 0)
        # .NET reads three parts as dd:hh:mm if the first is not a valid hour, so that 24:00:00 means 24 days.
        if hours >= 24 and match["days"] is None and match["seconds"] and match["fraction"] is None:
            days, hours, minutes, seconds = hours, minutes, seconds, 0
        if hours >= 24 or minutes >= 60 or seconds >= 60:
            raise ValueError(f"not a time span: {text!r}")
        # Seven digits in .NET; timedelta has microseconds.
        microseconds = int((match["fraction"] or "").ljust(7, "0")) // 10
        span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, microseconds=microseconds)
    return -span if match["sign"] else span


def format_timespan(span: timedelta) -> str:
    """Write a duration as TimeSpan.ToString() does: `[-][d.]hh:mm:ss[.fffffff]`."""
    # A negative timedelta has negative days and positive seconds; .NET writes the sign once, in front.
    sign, span = ("-", -span) if span < timedelta(0) else ("", span)
    hours, rest = divmod(span.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    days = f"{span.days}." if span.days else ""
    fraction = f".{span.microseconds * 10:07d}" if span.microseconds else ""
    return f"{sign}{days}{hours:02d}:{minutes:02d}:{seconds:02d}{fraction}"
