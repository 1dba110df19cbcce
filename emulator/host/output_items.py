"""Values of output bindings that write a list of items: messages, rows, events.

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


class UnreadableOutput(EmulatorError):
    """Text that begins and ends like JSON, but cannot be parsed. The message is that of Newtonsoft.Json."""


def output_items(datum: Datum) -> list[str | bytes]:
    """Return the items of an output value. Raises UnreadableOutput.

    A JSON array has one item per element, also in a text; objects and arrays become indented JSON. In a text that is
    parsed, dates are rewritten as Newtonsoft does; in JSON of a list or dict they stay as they are. Bytes are one item.
    """
    match datum.type:
        case "bytes":
            return [datum.value]
        case "string":
            return _items_of_text(datum.value)
        case "json":
            return [_text(item, rewrite_dates=False) for item in _elements(json.loads(datum.value))]
        case "collection_bytes" | "collection_string":
            return list(datum.value)
        case _:
            return [_text(item, rewrite_dates=False) for item in _elements(datum.value)]


def _items_of_text(text: str) -> list[str | bytes]:
    trimmed = text.strip()
    if trimmed[:1] + trimmed[-1:] not in ("{}", "[]"):
        return [text]
    try:
        content = read_whole(trimmed)
    except JsonReaderError as error:
        raise UnreadableOutput(
            f"{error} The text begins and ends like JSON, so it is read as JSON. To send it as it is, use bytes."
        ) from error
    return [_text(item, rewrite_dates=True) for item in _elements(content)]


def _elements(content: Any) -> Sequence[Any]:
    return content if isinstance(content, list) else [content]


def _text(item: Any, *, rewrite_dates: bool) -> str:
    if isinstance(item, Mapping | list):
        return indented(item, rewrite_dates=rewrite_dates)
    return item if isinstance(item, str) and not rewrite_dates else scalar_text(item)
