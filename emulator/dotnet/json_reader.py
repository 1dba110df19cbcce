"""JSON as Newtonsoft.Json reads and writes it, where the Durable extension shows or stores it.

Read: the first value of a text, with single quotes, bare names, comments, trailing commas, NaN and hexadecimal
numbers. Written: compact, a float with its decimal point, non-ASCII as it is.
Source: Newtonsoft.Json 13, JsonTextReader and JsonTextWriter; docs/protocol/durable-client-http.md 2.5 and 2.6.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_DEPTH = 64
"""JsonReader.MaxDepth of Newtonsoft.Json 13."""

_STRICT = json.JSONDecoder()
_SEPARATOR = re.compile(r"[\s,}\])/]")
_NUMBER_TEXT = re.compile(r"[-+0-9a-fA-FxX.]+")
_DECIMAL = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NAME = re.compile(r"[\w$]+")
_LITERALS: dict[str, Any] = {
    "true": True,
    "false": False,
    "null": None,
    "undefined": None,
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
}
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "\\": "\\", "/": "/", '"': '"', "'": "'"}
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}


class JsonReaderError(ValueError):
    """The text is not JSON, even by Newtonsoft's rules. `str(error)` is worded as its JsonReaderException."""


def lenient_value(text: str | None) -> Any:
    """The value that a status payload shows for a stored text.

    The first JSON value in it; the text itself (blanks trimmed) when there is none; "" for blanks; None for None.
    """
    if text is None:
        return None
    trimmed = text.strip()
    if not trimmed:
        return ""
    try:
        return read_first(trimmed)
    except JsonReaderError:
        return trimmed


def read_first(text: str) -> Any:
    """The first JSON value; what follows it is not looked at. Raises JsonReaderError."""
    return _first_value(text)[0]


def read_whole(text: str) -> Any:
    """The only JSON value of the text. Raises JsonReaderError, also when something follows the value."""
    value, end = _first_value(text)
    reader = _Reader(text, end)
    reader.skip_blanks()
    if reader.position < len(text):
        raise reader.error(
            "Additional text encountered after finished reading JSON content: " + text[reader.position] + "."
        )
    return value


# Reading -----------------------------------------------------------------------------------------------------


def _first_value(text: str) -> tuple[Any, int]:
    """The first value and the position after it. Strict JSON, the usual case, is left to the C parser."""
    start = len(text) - len(text.lstrip(" \t\r\n"))
    try:
        value, end = _STRICT.raw_decode(text, start)
    except (ValueError, RecursionError):
        return _lenient_first_value(text)
    # "01", "1x" and the like: the strict parser stops early where Newtonsoft reads on.
    if end < len(text) and text[end - 1] not in '"}]' and not _SEPARATOR.match(text, end):
        return _lenient_first_value(text)
    if text.count("[", start, end) + text.count("{", start, end) > MAX_DEPTH:
        return _lenient_first_value(text)
    return value, end


def _lenient_first_value(text: str) -> tuple[Any, int]:
    reader = _Reader(text)
    reader.skip_blanks()
    if reader.position >= len(text):
        raise JsonReaderError("Error reading JToken from JsonReader. Path '', line 0, position 0.")
    return reader.value(depth=1), reader.position


class _Reader:
    """A cursor in a text. Each method reads one thing and leaves the cursor behind it."""

    def __init__(self, text: str, position: int = 0) -> None:
        self.text = text
        self.position = position

    def error(self, message: str) -> JsonReaderError:
        before = self.text[: self.position]
        # Newtonsoft has not counted the first line yet when the very first character is wrong.
        line = before.count("\n") + 1 if before else 0
        column = self.position - (before.rfind("\n") + 1)
        return JsonReaderError(f"{message} Path '', line {line}, position {column}.")

    def peek(self) -> str:
        """The character at the cursor. Raises JsonReaderError at the end of the text."""
        if self.position >= len(self.text):
            raise self.error("Unexpected end of content while loading JSON.")
        return self.text[self.position]

    def skip_blanks(self) -> None:
        """Skip white space and comments."""
        while self.position < len(self.text):
            if self.text[self.position].isspace():
                self.position += 1
            elif self.text[self.position] == "/":
                self._skip_comment()
            else:
                return

    def _skip_comment(self) -> None:
        opening = self.text[self.position : self.position + 2]
        if opening == "/*":
            end = self.text.find("*/", self.position + 2)
            if end < 0:
                raise self.error("Unexpected end while parsing comment.")
            self.position = end + 2
        elif opening == "//":
            end = self.text.find("\n", self.position)
            self.position = len(self.text) if end < 0 else end
        else:
            raise self.error(f"Error parsing comment. Expected: *, got {opening[1:]}.")

    def value(self, depth: int) -> Any:
        """`depth`: how deep this value lies if it is an object or array."""
        match self.peek():
            case "{" | "[" if depth > MAX_DEPTH:
                raise self.error(f"The reader's MaxDepth of {MAX_DEPTH} has been exceeded.")
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
            case '"' | "'":
                return self._string()
            case first if first.isdigit() or first == "." or (first == "-" and not self._at("-Infinity")):
                return self._number()
            case _:
                return self._literal()

    def _at(self, word: str) -> bool:
        return self.text.startswith(word, self.position)

    def _object(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        self.position += 1
        while True:
            self.skip_blanks()
            if self.peek() == "}":
                self.position += 1
                return members
            name = self._member_name()
            self.skip_blanks()
            if self.peek() != ":":
                raise self.error(f"Invalid character after parsing property name. Expected ':' but got: {self.peek()}.")
            self.position += 1
            self.skip_blanks()
            members[name] = self.value(depth + 1)
            self._after_element("}")

    def _member_name(self) -> str:
        if self.peek() in "\"'":
            return self._string()
        name = _NAME.match(self.text, self.position)
        if name is None:
            raise self.error(f"Invalid property identifier character: {self.peek()}.")
        self.position = name.end()
        return name[0]

    def _array(self, depth: int) -> list[Any]:
        items: list[Any] = []
        self.position += 1
        while True:
            self.skip_blanks()
            if self.peek() == "]":
                self.position += 1
                return items
            # An element left out counts as undefined, which nothing but null can stand for.
            items.append(None if self.peek() == "," else self.value(depth + 1))
            self._after_element("]")

    def _after_element(self, closing: str) -> None:
        self.skip_blanks()
        if self.peek() == ",":
            self.position += 1
        elif self.peek() != closing:
            raise self.error(f"After parsing a value an unexpected character was encountered: {self.peek()}.")

    def _string(self) -> str:
        quote = self.peek()
        plain = _PLAIN[quote]
        parts: list[str] = []
        self.position += 1
        while True:
            found = plain.match(self.text, self.position)
            assert found is not None
            parts.append(found[0])
            self.position = found.end()
            if self.position >= len(self.text):
                raise self.error(f"Unterminated string. Expected delimiter: {quote}.")
            self.position += 1
            if self.text[self.position - 1] == quote:
                return _joined_surrogates("".join(parts))
            parts.append(self._escape())

    def _escape(self) -> str:
        letter = self.peek()
        self.position += 1
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        digits = self.text[self.position : self.position + 4]
        if letter != "u" or not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            raise self.error(f"Bad JSON escape sequence: \\{letter}.")
        self.position += 4
        return chr(int(digits, 16))

    def _number(self) -> int | float:
        found = _NUMBER_TEXT.match(self.text, self.position)
        if found is None:  # a digit of another script, or one that is raised
            raise self.error(f"Unexpected character encountered while parsing number: {self.peek()}.")
        self.position = found.end()
        if self.position < len(self.text) and not _SEPARATOR.match(self.text, self.position):
            raise self.error(f"Unexpected character encountered while parsing number: {self.text[self.position]}.")
        try:
            return _number(found[0])
        except ValueError:
            raise self.error(f"Input string '{found[0]}' is not a valid number.") from None

    def _literal(self) -> Any:
        for word, value in _LITERALS.items():
            end = self.position + len(word)
            if self._at(word) and (end >= len(self.text) or _SEPARATOR.match(self.text, end)):
                self.position = end
                return value
        raise self.error(f"Unexpected character encountered while parsing value: {self.peek()}.")


def _number(text: str) -> int | float:
    """Raises ValueError."""
    if re.fullmatch(r"0[xX][0-9a-fA-F]+", text):
        return int(text, 16)
    if re.fullmatch(r"0[0-7]+", text):
        return int(text, 8)
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    raise ValueError(text)


def _joined_surrogates(text: str) -> str:
    r"""Two escapes like \ud83d\ude00 are one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass") if _is_split(text) else text


def _is_split(text: str) -> bool:
    return not text.isascii() and re.search(r"[\ud800-\udbff][\udc00-\udfff]", text) is not None
