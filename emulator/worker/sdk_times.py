"""The durable SDK's reading of times: each text once.

azure-functions-durable reads the timestamp of every event of the history in every episode, with a parser that takes ten
times as long as all else that an episode costs. The same text means the same time, and times do not change, so what was
read is remembered. Source: azure-functions-durable 1.7.0, models/history/HistoryEvent.py.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any

_MODULE = "azure.durable_functions.models.history.HistoryEvent"
_PARSER = "dt_parse"
# A few megabytes at most. A history that is longer is read anew from end to end each time.
_KEPT = 1 << 14


def remember_times() -> None:
    """Put in place once the app has been imported. Does nothing when it has not imported the SDK as we know it."""
    module: Any = sys.modules.get(_MODULE)
    parse = getattr(module, _PARSER, None)
    if parse is not None and not hasattr(parse, "cache_info"):
        setattr(module, _PARSER, lru_cache(maxsize=_KEPT)(parse))
