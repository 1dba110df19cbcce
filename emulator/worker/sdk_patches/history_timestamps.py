"""SDK patch: cache of parsed history timestamps.

Changes: `dt_parse` (dateutil's parser) in `azure.durable_functions.models.history.HistoryEvent`.
Why: the SDK parses the timestamp of every history event in every episode, so the work grows with the square of the
    history. dateutil's parser takes ten times as long as everything else in an episode.
Written for: azure-functions-durable 1.7.0.
Otherwise: a module without `dt_parse` is left alone; long orchestrations then run more slowly.
"""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

MODULE = "azure.durable_functions.models.history.HistoryEvent"

_PARSER = "dt_parse"
# A few megabytes at most. A history with more events than this gets no benefit: it is read from start to end, so an LRU
# cache that is too small has always just dropped the next entry.
_CACHED_TIMESTAMPS = 1 << 14


def patch(module: ModuleType) -> bool:
    """Replace the parser by a cached one. Return False if the module has no parser. Idempotent."""
    parse = getattr(module, _PARSER, None)
    if parse is None:
        return False
    # A second cache around the first would only cost time.
    if not hasattr(parse, "cache_info"):
        # Caching is safe because the parser depends on the text only, and datetime objects are immutable.
        setattr(module, _PARSER, lru_cache(maxsize=_CACHED_TIMESTAMPS)(parse))
    return True
