"""Responses to commands, and checks that they have the members that azemu sends.

Any program may listen at the port of a host, and it may imitate a part of azemu. A command reads a response only after
its members were checked, so that the user learns which server has sent what, and sees no traceback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from emulator import bound_json as json
from emulator.errors import EmulatorError

Shape = Any
"""What a JSON value must be: a type, None, `[shape]` for an array, `{name: shape}` for an object, or a tuple of shapes.

A member whose name ends with `?` may be missing. Members that a shape does not name are allowed: a newer azemu may send
them.
"""

TEXT_OR_NULL: Final[Shape] = (str, None)
FUNCTION: Final[Shape] = {
    "name": str,
    "invoke_url_template?": TEXT_OR_NULL,
    "config": {"bindings": [{"type": str, "methods?": ([str], None)}]},
}
"""A function, as the admin API describes it."""
_SHOWN_BODY: Final = 200
_SHOWN_VALUE: Final = 40
# JSON has one type of numbers.
_TYPES: Final[Mapping[Shape, Shape]] = {None: type(None), float: (int, float)}
_REASONS: Final = ("ExceptionMessage", "Message", "message")


class UnexpectedAnswer(EmulatorError):
    """A server has sent a response that azemu does not send."""


@dataclass(frozen=True, slots=True)
class Response:
    """Response to a command. `headers`: by names in lower case. `request`: what was asked whom, for messages."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    request: str = ""

    def json(self) -> Any:
        """Return what the body contains as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def content(self, shape: Shape) -> Any:
        """Return the JSON of a successful response, which has the shape. Raises UnexpectedAnswer."""
        content = self.json()
        problem = "it is not JSON" if content is None else next(_problems(content, shape, ""), None)
        if self.status >= 300 or problem is not None:
            raise self.unexpected(problem)
        return content

    def unexpected(self, problem: str | None = None) -> UnexpectedAnswer:
        """Return the error for a response that azemu does not send. `problem`: what differs, if that is known."""
        difference = f" ({problem})" if problem else ""
        return UnexpectedAnswer(
            f"{self.request} was answered with {self.description}. azemu answers something else{difference}: another "
            "program, or another version of azemu, may use this port. Name the port of a host with --port N."
        )

    @property
    def description(self) -> str:
        """The status, type and beginning of the response, for messages about what has answered."""
        text = self.body[:_SHOWN_BODY].decode("utf-8", "replace")
        shown = "".join(letter if letter.isprintable() else " " for letter in text).strip()
        kind = self.headers.get("content-type", "").partition(";")[0]
        begins = f", which begins with: {shown}" if shown else ""
        return f"status {self.status} with {kind or 'a body' if self.body else 'no body'}{begins}"

    def refusal(self) -> str:
        """Return why the host has refused the request: the message of the response, or what the response is."""
        content = self.json()
        if isinstance(content, dict):
            # The dashboard's API has `{"error": {"message": …}}`, azemu's part of the admin API `{"error": …}`. The
            # durable API has errors of three forms, as the extension in .NET: an exception, a message, a plain string.
            content = content.get("error", content)
        if isinstance(content, dict):
            content = next((content[name] for name in _REASONS if content.get(name)), None)
        if isinstance(content, str) and content:
            return content
        return f"{self.request} was answered with {self.description}."


def _problems(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """Yield what a value of JSON lacks to have a shape. `path`: where it is."""
    where = f'"{path}"' if path else "the document"
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{where} is not an object"
            return
        for name, inner in shape.items():
            key = name.removesuffix("?")
            member = f"{path}.{key}" if path else key
            if key in value:
                yield from _problems(value[key], inner, member)
            elif key == name:
                yield f'"{member}" is missing'
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{where} is not an array"
            return
        for number, item in enumerate(value):
            yield from _problems(item, shape[0], f"{path}[{number}]")
    elif isinstance(shape, tuple):
        if all(any(_problems(value, one, path)) for one in shape):
            yield f"{where} is none of the values that it can be"
    elif not isinstance(value, _TYPES.get(shape, shape)):
        yield f"{where} is {json.dumps(value)[:_SHOWN_VALUE]}"
