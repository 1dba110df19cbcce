"""JSON as Newtonsoft.Json reads it, which accepts more than strict JSON.

It also accepts single quotes, bare member names, comments, trailing commas, NaN, hexadecimal and octal numbers.
Source: Newtonsoft.Json 13, JsonTextReader; docs/protocol/durable-client-http.md 2.5 and 2.6.
"""

from __future__ import annotations

import math
import re
from typing import Any

from emulator import bound_json as json

MAX_DEPTH = 64
"""JsonReader.MaxDepth of Newtonsoft.Json 13."""

_STRICT = json.JSONDecoder()
_SEPARATOR = re.compile(r"[\s,}\])/]")
_NUMBER_TEXT = re.compile(r"[-+0-9a-fA-FxX.]+")
_DECIMAL = re.compile(r"-?(\d+(?:\.\d*)?|\.\d+)([eE][-+]?\d+)?")
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
_SURROGATE_PAIR = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}


class JsonReaderError(ValueError):
    """The text is not JSON, even by Newtonsoft's rules. The message is that of its JsonReaderException."""


def lenient_value(text: str | None) -> Any:
    """Return the value that a status payload shows for a stored text.

    That is the first JSON value in it, or the text itself without surrounding white space if it contains none.
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
    """Return the first JSON value and ignore what follows. Raises JsonReaderError."""
    return _first_value(text)[0]


def read_whole(text: str) -> Any:
    """Return the only JSON value of the text. Raises JsonReaderError, also if other text follows the value."""
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
    """Return the first value and the position after it."""
    # Nearly all texts are strict JSON, for which the C parser is much faster. Whatever it refuses or reads differently
    # from Newtonsoft is read again by the lenient reader.
    start = len(text) - len(text.lstrip(" \t\r\n"))
    try:
        value, end = _STRICT.raw_decode(text, start)
    except (ValueError, RecursionError):
        return _lenient_first_value(text)
    # The strict parser stops after the first digit of "01" or "1x"; Newtonsoft reads the whole token.
    if end < len(text) and text[end - 1] not in '"}]' and not _SEPARATOR.match(text, end):
        return _lenient_first_value(text)
    # An upper limit of the depth, because counting is much faster than parsing. The other reader decides.
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
    """A position in a text. Each method reads one element and moves the position behind it."""

    def __init__(self, text: str, position: int = 0) -> None:
        self.text = text
        self.position = position

    def error(self, message: str) -> JsonReaderError:
        before = self.text[: self.position]
        # Newtonsoft says line 0 if the very first character is wrong.
        line = before.count("\n") + 1 if before else 0
        column = self.position - (before.rfind("\n") + 1)
        return JsonReaderError(f"{message} Path '', line {line}, position {column}.")

    def peek(self) -> str:
        """Return the next character. Raises JsonReaderError at the end of the text."""
        if self.position >= len(self.text):
            raise self.error("Unexpected end of content while loading JSON.")
        return self.text[self.position]

    def skip_blanks(self) -> None:
        """Skip white space and comments."""
        while self.position < len(self.text):
            if self.text[self.position].isspace():
                self.position += 1
            elif self.text[self.position] == "/":
                self.skip_comment()
            else:
                return

    def skip_comment(self) -> None:
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
        """Read any value. `depth` is its nesting depth if it is an object or array, 1 for the outermost."""
        match self.peek():
            # The limit also keeps the recursion of this reader small.
            case "{" | "[" if depth > MAX_DEPTH:
                raise self.error(f"The reader's MaxDepth of {MAX_DEPTH} has been exceeded.")
            case "{":
                return self.object(depth)
            case "[":
                return self.array(depth)
            case '"' | "'":
                return self.string()
            case first if first.isdigit() or first == "." or (first == "-" and not self.at("-Infinity")):
                return self.number()
            case _:
                return self.literal()

    def at(self, word: str) -> bool:
        return self.text.startswith(word, self.position)

    def object(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        self.position += 1
        while True:
            self.skip_blanks()
            if self.peek() == "}":
                self.position += 1
                return members
            name = self.member_name()
            self.skip_blanks()
            if self.peek() != ":":
                raise self.error(f"Invalid character after parsing property name. Expected ':' but got: {self.peek()}.")
            self.position += 1
            self.skip_blanks()
            # Of several members with the same name the last one is kept, as in a JObject.
            members[name] = self.value(depth + 1)
            self.after_element("}")

    def member_name(self) -> str:
        # A bare name consists of the characters of JavaScript identifiers.
        if self.peek() in "\"'":
            return self.string()
        name = _NAME.match(self.text, self.position)
        if name is None:
            raise self.error(f"Invalid property identifier character: {self.peek()}.")
        self.position = name.end()
        return name[0]

    def array(self, depth: int) -> list[Any]:
        items: list[Any] = []
        self.position += 1
        while True:
            self.skip_blanks()
            if self.peek() == "]":
                self.position += 1
                return items
            # Newtonsoft reads a missing element as undefined. Python has no other value for it than None.
            items.append(None if self.peek() == "," else self.value(depth + 1))
            self.after_element("]")

    def after_element(self, closing: str) -> None:
        # The caller looks for the closing bracket after a comma, too, so that a trailing comma is accepted.
        self.skip_blanks()
        if self.peek() == ",":
            self.position += 1
        elif self.peek() != closing:
            raise self.error(f"After parsing a value an unexpected character was encountered: {self.peek()}.")

    def string(self) -> str:
        quote = self.peek()
        plain = _PLAIN[quote]
        parts: list[str] = []
        self.position += 1
        while True:
            run = plain.match(self.text, self.position)
            assert run is not None
            parts.append(run[0])
            self.position = run.end()
            if self.position >= len(self.text):
                raise self.error(f"Unterminated string. Expected delimiter: {quote}.")
            self.position += 1
            if self.text[self.position - 1] == quote:
                # Two escapes like \ud83d\ude00 are one character.
                return _SURROGATE_PAIR.sub(
                    lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"), "".join(parts)
                )
            parts.append(self.escape())

    def escape(self) -> str:
        # Newtonsoft accepts \' in addition to JSON's escapes, and nothing else.
        letter = self.peek()
        self.position += 1
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        digits = self.text[self.position : self.position + 4]
        if letter != "u" or not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            raise self.error(f"Bad JSON escape sequence: \\{letter}.")
        self.position += 4
        return chr(int(digits, 16))

    def number(self) -> int | float:
        token = _NUMBER_TEXT.match(self.text, self.position)
        if token is None:  # str.isdigit accepts digits of other scripts and superscripts, too
            raise self.error(f"Unexpected character encountered while parsing number: {self.peek()}.")
        self.position = token.end()
        if self.position < len(self.text) and not _SEPARATOR.match(self.text, self.position):
            raise self.error(f"Unexpected character encountered while parsing number: {self.text[self.position]}.")
        text = token[0]
        try:
            if re.fullmatch(r"0[xX][0-9a-fA-F]+", text):
                return int(text, 16)
            # A leading zero makes a number octal, as in C.
            if re.fullmatch(r"0[0-7]+", text):
                return int(text, 8)
            if re.fullmatch(r"-?\d+", text):
                return int(text)
            if _DECIMAL.fullmatch(text):
                return float(text)
        except ValueError:
            # Python converts at most 4300 digits.
            pass
        raise self.error(f"Input string '{text}' is not a valid number.")

    def literal(self) -> Any:
        # Whole words only: the text "trueish" is not the value true.
        for word, value in _LITERALS.items():
            end = self.position + len(word)
            if self.at(word) and (end >= len(self.text) or _SEPARATOR.match(self.text, end)):
                self.position = end
                return value
        raise self.error(f"Unexpected character encountered while parsing value: {self.peek()}.")
