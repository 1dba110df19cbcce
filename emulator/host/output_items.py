"""Values of output bindings that write a list of items: messages, rows, events.

Source: host, FunctionBinding.ReadAsEnumerable and BindAsyncCollectorAsync; docs/protocol/functions-host.md 7.5.
"""

from __future__ import annotations

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
            return [bytes(datum.value)]
        case "json":
            return _items(json.loads(datum.value), rewrite_dates=False)
        case "string" if _looks_like_json(datum.value):
            try:
                return _items(read_whole(datum.value), rewrite_dates=True)
            except JsonReaderError as error:
                raise UnreadableOutput(
                    f"{error} The text begins and ends like JSON, so the Functions host parses it."
                ) from error
        case "string":
            return [datum.value]
        case _:
            return _items(datum.value, rewrite_dates=False)


def _looks_like_json(text: str) -> bool:
    trimmed = text.strip()
    return trimmed[:1] + trimmed[-1:] in ("{}", "[]")


def _items(value: Any, *, rewrite_dates: bool) -> list[str | bytes]:
    return [_text(item, rewrite_dates=rewrite_dates) for item in (value if isinstance(value, list) else [value])]


def _text(item: Any, *, rewrite_dates: bool) -> str:
    if isinstance(item, dict | list):
        return indented(item, rewrite_dates=rewrite_dates)
    return item if isinstance(item, str) and not rewrite_dates else scalar_text(item)
