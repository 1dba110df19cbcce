"""Values of a query string as .NET reads them (booleans, numbers, dates), and URL encoding as .NET writes it.

Every parse function returns None for a text that the `TryParse` of the .NET type does not accept.
Source: .NET BCL; docs/protocol/durable-client-http.md 1.4 and 2.4.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote_plus, unquote_plus

from emulator.instant import Instant

_YEAR_2 = Instant.of(datetime(2, 1, 1, tzinfo=UTC))
_LAST = Instant.of(datetime.max.replace(tzinfo=UTC)).plus_ticks(9)
_INT32 = range(-(2**31), 2**31)
_DATE = r"(?:(?P<year>\d{4})-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?|(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4}))"
_TIME = r"(?:[T ]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?P<fraction>\.\d+)?)?)?"
_ZONE = r"(?:\s*(?P<zone>Z|GMT|[+-]\d{1,2}:\d{2}))?"
_DATE_TIME = re.compile(_DATE + _TIME + _ZONE, re.IGNORECASE | re.ASCII)


def parse_bool(text: str | None) -> bool | None:
    """Read a Boolean: true or false, in any case."""
    # TryParse also ignores trailing NUL characters.
    return {"true": True, "false": False}.get((text or "").strip().strip("\0").lower())


def parse_int(text: str | None) -> int | None:
    """Read an Int32 with an optional sign."""
    # At most ten digits, because converting thousands of them takes long, and a client chooses the text.
    match = re.fullmatch(r"\s*([-+]?)0*([0-9]{1,10})\s*", text or "")
    if match is None:
        return None
    number = int(match[1] + match[2])
    return number if number in _INT32 else None


def parse_double(text: str | None) -> float | None:
    """Read a Double in the invariant culture: thousands separators and an exponent are allowed."""
    bare = (text or "").strip()
    if not re.fullmatch(r"[-+]?(\d[\d,]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?", bare, re.ASCII):
        return None
    number = float(bare.replace(",", ""))
    return number if math.isfinite(number) else None


def parse_datetime(text: str | None) -> Instant | None:
    """Read a DateTime in the invariant culture, in the forms that clients use. No time zone means UTC.

    These are ISO 8601 (also without a day, with a space instead of the T, with seven digits of a fraction), RFC 1123
    and month/day/year.
    """
    bare = (text or "").strip()
    match = _DATE_TIME.fullmatch(bare)
    moment = _instant(match) if match else _rfc1123(bare)
    # The extension compares with DateTime.MinValue to see whether a date was given. With an offset, a time of the last
    # day of the year 9999 can be after the last DateTime.
    return moment if moment is not None and _YEAR_2 <= moment <= _LAST else None


def form_encode(text: str) -> str:
    """Encode as WebUtility.UrlEncode: a space becomes +, letters, digits and -_.!*() are unchanged."""
    return quote_plus(text, safe="!*()").replace("~", "%7E")


def form_decode(text: str) -> str:
    """Decode as WebUtility.UrlDecode: + is a space, invalid escapes are unchanged."""
    return unquote_plus(text)


def _instant(match: re.Match[str]) -> Instant | None:
    year, month, day = (match[iso] or match[us] for iso, us in (("year", "y"), ("month", "m"), ("day", "d")))
    clock = f"{int(match['hour'] or 0):02d}:{match['minute'] or '00'}:{match['second'] or '00'}"
    date = f"{year}-{int(month):02d}-{int(day or 1):02d}"
    zone = match["zone"] or "Z"
    if zone.upper() == "GMT":
        zone = "Z"
    elif ":" in zone:
        hours, minutes = zone[1:].split(":")
        zone = f"{zone[0]}{int(hours):02d}:{minutes}"
    try:
        return Instant.parse(f"{date}T{clock}{match['fraction'] or ''}{zone}")
    except ValueError:
        return None


def _rfc1123(text: str) -> Instant | None:
    # email.utils reads many other forms, which .NET does not accept.
    if not re.match(r"[A-Za-z]{3}, \d{1,2} [A-Za-z]{3} \d{4} ", text):
        return None
    # ValueError for a day that does not exist, OverflowError for a time zone of many digits. Some releases of Python
    # raise TypeError for texts they cannot read.
    try:
        moment: datetime = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError):
        return None
    return Instant.of(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
