"""Messages of an output value: which value makes how many messages, and what is in each.

Source: host, FunctionBinding.ReadAsEnumerable and BindAsyncCollectorAsync; docs/protocol/functions-host.md 7.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emulator import bound_json as json
from emulator.dotnet.json_reader import JsonReaderError, read_whole
from emulator.dotnet.token_text import indented, scalar_text
from emulator.errors import EmulatorError
from emulator.worker.port import Datum


class MalformedItems(EmulatorError):
    """The text of an output begins and ends like JSON, but is not JSON."""


def items_of(value: Datum) -> Sequence[str | bytes]:
    """Return the content of each message. Raises MalformedItems.

    An array makes a message for each element, any other value makes one. Text in braces or brackets is read as JSON and
    written again, over several lines and with dates in another form. What Python sets as a list or dict keeps its
    dates, and bytes are never read.
    """
    match value.type:
        case "bytes":
            return [value.value]
        case "string":
            return _items_of_text(value.value)
        case "json":
            return [_text(item, rewrite_dates=False) for item in _elements(json.loads(value.value))]
        case "collection_bytes" | "collection_string":
            return list(value.value)
        case _:
            return [_text(item, rewrite_dates=False) for item in _elements(value.value)]


def _items_of_text(text: str) -> Sequence[str]:
    trimmed = text.strip()
    if not ((trimmed.startswith("{") and trimmed.endswith("}")) or (trimmed.startswith("[") and trimmed.endswith("]"))):
        return [text]
    try:
        content = read_whole(trimmed)
    except JsonReaderError as error:
        raise MalformedItems(
            f"{error} The text begins and ends like JSON, so it is read as JSON. To send it as it is, use bytes."
        ) from None
    return [_text(item, rewrite_dates=True) for item in _elements(content)]


def _elements(content: Any) -> Sequence[Any]:
    return content if isinstance(content, list) else [content]


def _text(item: Any, *, rewrite_dates: bool) -> str:
    if isinstance(item, Mapping | list):
        return indented(item, rewrite_dates=rewrite_dates)
    return item if isinstance(item, str) and not rewrite_dates else scalar_text(item)
