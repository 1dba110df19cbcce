"""Table transactions as multipart messages.

A batch holds one change set, which holds one HTTP request per operation. The response holds one HTTP response per
operation, or a single one if the transaction was undone: that of the operation that failed.
Source: "Performing entity group transactions" of the Azure Storage REST reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emulator.ids import new_id

OperationRequest = tuple[str, str, Mapping[str, str], bytes]
"""Method, path, headers and body of an operation."""


@dataclass(frozen=True, slots=True)
class OperationResponse:
    """Response to one operation."""

    status: int
    etag: str | None
    body: bytes


def batch_request(endpoint: str, requests: Sequence[OperationRequest]) -> tuple[str, bytes]:
    """Return content type and body of a POST to $batch."""
    # Random, so that no body can contain a boundary.
    boundary_id = new_id()
    batch, changes = f"batch_{boundary_id}", f"changeset_{boundary_id}"
    parts = [f"--{batch}\r\nContent-Type: multipart/mixed; boundary={changes}\r\n\r\n".encode()]
    for method, path, headers, body in requests:
        header_lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        parts.append(
            f"--{changes}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
            f"{method} {endpoint}{path} HTTP/1.1\r\n{header_lines}Content-Length: {len(body)}\r\n\r\n".encode()
        )
        parts += (body, b"\r\n")
    parts.append(f"--{changes}--\r\n--{batch}--\r\n".encode())
    return f"multipart/mixed; boundary={batch}", b"".join(parts)


def split_responses(body: bytes) -> list[OperationResponse]:
    """Return the responses in the body of a batch response, in order."""
    # Splitting at status lines is simpler than parsing multipart. No body contains such a line: bodies are errors,
    # which the service writes as JSON.
    responses = []
    for part in body.split(b"HTTP/1.1 ")[1:]:
        head, _, rest = part.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        # What follows the JSON object is the next boundary. Without an object the body is empty.
        end = rest.rfind(b"}") + 1
        responses.append(OperationResponse(int(status[:3]), headers.get("etag"), rest[:end]))
    return responses
