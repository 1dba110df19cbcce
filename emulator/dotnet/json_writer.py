"""JSON as Newtonsoft.Json writes it: no white space, non-ASCII characters as they are.

Source: Newtonsoft.Json 13, JsonTextWriter and JavaScriptUtils; docs/protocol/task-hub-storage.md 2.1.
"""

from __future__ import annotations

import math
import re

from emulator import bound_json as json

# One encoder for all: json.dumps creates a new one in every call with these arguments.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

# These three are all that Newtonsoft escapes beyond ASCII.
_ESCAPED = re.compile("[\u0085\u2028\u2029]")
# The others cannot be in the XML body that carries a queue message.
_ESCAPED_FOR_XML = re.compile("[\u0085\u2028\u2029\ufffe\uffff\ud800-\udfff]")

# Numbers that Python writes differently from .NET: with an exponent, or with 16 digits before the point. It may also
# match inside a string, which costs time but changes nothing.
_PYTHON_NUMBER = re.compile(r"[0-9]e[-+][0-9]|[0-9]{16}\.[0-9]|NaN|Infinity")
_STRING_OR_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][-+.0-9e]*|NaN|-?Infinity')


def json_text(value: object) -> str:
    """Return the JSON text of a protocol object, which contains no floating-point numbers.

    Lone surrogates are escaped, so that they survive storage. Raises TypeError for what JSON cannot express.
    """
    return _escaped(_encode(value), _ESCAPED_FOR_XML)


def newtonsoft_text(value: object, *, keep_surrogates: bool = False) -> str:
    """Return the JSON text of a value from user code or a request, with numbers as .NET writes them.

    Lone surrogates become U+FFFD, because .NET's UTF-8 encoder replaces them in HTTP bodies. With `keep_surrogates`
    they are escaped as in `json_text`. Raises TypeError for what JSON cannot express.
    """
    text = _encode(value)
    # The C encoder cannot be told how to write a float, and an encoder in Python is many times slower. So the few
    # numbers that differ are replaced in the text.
    if _PYTHON_NUMBER.search(text) is not None:
        text = _STRING_OR_NUMBER.sub(_dotnet_token, text)
    if keep_surrogates:
        return _escaped(text, _ESCAPED_FOR_XML)
    return _escaped(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), _ESCAPED)


def _escaped(text: str, characters: re.Pattern[str]) -> str:
    # Most texts are ASCII, and this check is much faster than the search.
    if text.isascii():
        return text
    return characters.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _dotnet_token(token: re.Match[str]) -> str:
    text = token[0]
    if text[0] == '"' or text.lstrip("-").isdigit():
        return text
    number = float(text)
    if not math.isfinite(number):
        # FloatFormatHandling.String, the default of Newtonsoft.
        name = "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
        return f'"{name}"'
    # .NET uses an exponent from 1E+15 on, Python from 1e+16 on.
    if "e" not in text and abs(number) >= 1e15:
        digits = text.removesuffix(".0").lstrip("-").replace(".", "")
        exponent = len(text.lstrip("-").partition(".")[0]) - 1
        mantissa = f"{digits[0]}.{digits[1:]}".rstrip("0").rstrip(".")
        return f"{'-' if number < 0 else ''}{mantissa}E+{exponent:02d}"
    return text.replace("e", "E")
