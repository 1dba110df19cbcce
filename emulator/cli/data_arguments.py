"""Arguments of commands that are data: the text itself, a file, or the standard input; and JSON of durable commands."""

from __future__ import annotations

import sys
from pathlib import Path

from emulator import bound_json as json
from emulator.errors import ConfigurationError


def read_argument(text: str) -> bytes:
    """Return the data of an argument: `@FILE`, `@-` for the standard input, else the text itself."""
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    if text == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"The file '{text[1:]}' cannot be read: {error.strerror}. To send a text that begins with @, put it into "
            "a file."
        ) from None


def input_body(text: str) -> bytes:
    """Return the body for an input, encoded as the client of azure-functions-durable does it. See `json_body`."""
    # JSON text in a JSON string: functions in Python decode their input twice (management/plain_input.py).
    return json.dumps(json_body(text).decode()).encode()


def json_body(text: str, *, subject: str = "The data") -> bytes:
    """Return the JSON of a data argument.

    A text that does not look like JSON becomes a JSON string. Raises ConfigurationError, whose message begins with
    `subject`.
    """
    # The standard input and files are read as bytes, so the encoding is checked here.
    data = read_argument(text)
    try:
        content = data.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{subject} is not text in UTF-8. Durable functions take JSON.") from None
    try:
        json.loads(content)
    except ValueError as error:
        # A mistake in an object must not become a string silently.
        if text.startswith("@") or content.lstrip()[:1] in ("{", "[", '"'):
            raise ConfigurationError(
                f"{subject} is not JSON: {error}. Names and texts need double quotes, so most shells want single "
                """quotes around the whole: '{"item": "book"}'. @FILE reads a file."""
            ) from None
        content = json.dumps(content)
    return content.encode()
