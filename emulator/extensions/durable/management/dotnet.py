"""How .NET reads the texts of a query: booleans, numbers, dates; and how it form-encodes.

Every reader gives None for what the `TryParse` of that type refuses.
Source: .NET BCL; docs/protocol/durable-client-http.md 1.4 and 2.4.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote_plus, unquote_plus

from emulator.instant import Instant

_INT32 = range(-(2**31), 2**31)
_DATE = r"(?:(?P<year>\d{4})-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?|(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4}))"
_TIME = r"(?:[T ]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?P<fraction>\.\d+)?)?)?"
_ZONE = r"(?:\s*(?P<zone>Z|GMT|[+-]\d{1,2}:\d{2}))?"
_DATE_TIME = re.compile(_DATE + _TIME + _ZONE, re.IGNORECASE | re.ASCII)


def parse_bool(text: str | None) -> bool | None:
    """bool.TryParse: the words in any case, blanks around them allowed."""
    return {"true": True, "false": False}.get((text or "").strip().strip("\0").lower())


def parse_int(text: str | None) -> int | None:
    """int.TryParse: an Int32 with an optional sign, blanks around it allowed."""
    found = re.fullmatch(r"\s*([-+]?)0*([0-9]{1,10})\s*", text or "")
    if found is None:
        return None
    number = int(found[1] + found[2])
    return number if number in _INT32 else None


def parse_double(text: str | None) -> float | None:
    """double.TryParse in the invariant culture: group commas and an exponent are allowed."""
    bare = (text or "").strip()
    if not re.fullmatch(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)([eE][-+]?\d+)?", bare, re.ASCII):
        return None
    number = float(bare.replace(",", ""))
    return number if math.isfinite(number) else None


def parse_datetime(text: str | None) -> Instant | None:
    """DateTime.TryParse in the invariant culture, as far as a query needs it; no zone means UTC.

    Read are ISO dates (also without a day, with a blank for the T, with up to seven digits of a fraction), month/day/
    year, and RFC 1123. The year 1 means "not given", as the extension takes it.
    """
    bare = (text or "").strip()
    found = _DATE_TIME.fullmatch(bare)
    moment = _instant(found) if found else _rfc1123(bare)
    return None if moment is None or moment.datetime.year == 1 else moment


def form_encode(text: str) -> str:
    """WebUtility.UrlEncode: a blank becomes +, letters, digits and -_.!*() stay."""
    return quote_plus(text, safe="!*()").replace("~", "%7E")


def form_decode(text: str) -> str:
    """WebUtility.UrlDecode: + is a blank; what is not an escape stays."""
    return unquote_plus(text)


def _instant(found: re.Match[str]) -> Instant | None:
    year, month, day = (found[iso] or found[us] for iso, us in (("year", "y"), ("month", "m"), ("day", "d")))
    clock = f"{int(found['hour'] or 0):02d}:{found['minute'] or '00'}:{found['second'] or '00'}"
    date = f"{year}-{int(month):02d}-{int(day or 1):02d}"
    try:
        return Instant.parse(f"{date}T{clock}{found['fraction'] or ''}{_zone(found['zone'])}")
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> str:
    if text is None or text.upper() in ("Z", "GMT"):
        return "Z"
    hours, minutes = text[1:].split(":")
    return f"{text[0]}{int(hours):02d}:{minutes}"


def _rfc1123(text: str) -> Instant | None:
    if not re.match(r"[A-Za-z]{3}, \d{1,2} [A-Za-z]{3} \d{4} ", text):
        return None
    try:
        moment: datetime = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return Instant.of(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
