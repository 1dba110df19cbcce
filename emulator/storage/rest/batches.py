"""Table transactions as multipart messages.

Facts: "Performing entity group transactions" of the REST reference. A batch holds one change set; the change set holds
one HTTP request per operation; the answer has one HTTP response per operation, or a single one that tells why all of
them were undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from emulator.ids import new_id

Request = tuple[str, str, Mapping[str, str], bytes]
"""Method, path, headers, body."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    etag: str | None
    body: bytes


def batch_request(endpoint: str, requests: Sequence[Request]) -> tuple[str, bytes]:
    """Content type and body of a POST to $batch."""
    mark = new_id()
    batch, changes = f"batch_{mark}", f"changeset_{mark}"
    parts = [f"--{batch}\r\nContent-Type: multipart/mixed; boundary={changes}\r\n\r\n".encode()]
    for method, path, headers, body in requests:
        parts.append(
            f"--{changes}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            f"{method} {endpoint}{path} HTTP/1.1\r\n{_lines(headers)}Content-Length: {len(body)}\r\n\r\n".encode()
        )
        parts += (body, b"\r\n")
    parts.append(f"--{changes}--\r\n--{batch}--\r\n".encode())
    return f"multipart/mixed; boundary={batch}", b"".join(parts)


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def replies_in(body: bytes) -> list[Reply]:
    """The replies of an answer, in order.

    The bodies are JSON of the service's own, which has no line that begins like a response, so that the boundaries
    need not be looked at.
    """
    return [_reply(part) for part in body.split(b"HTTP/1.1 ")[1:]]


def _reply(part: bytes) -> Reply:
    head, _, rest = part.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = _headers(lines)
    end = rest.rfind(b"}") + 1
    return Reply(int(status[:3]), headers.get("etag"), rest[: max(end, 0)])


def _headers(lines: Iterable[str]) -> dict[str, str]:
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
