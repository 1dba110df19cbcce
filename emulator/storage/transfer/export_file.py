"""Format of an export file: JSON lines, described in docs/storage-file-format.md.

A header, then the records of each queue, table or container between a begin and a mark, then an end. A file without an
end is incomplete.
"""

from __future__ import annotations

import base64
import enum
import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from emulator import bound_json as json
from emulator.errors import EmulatorError
from emulator.instant import Instant
from emulator.storage.port import BlobProperties, Int64, QueueMessage, Row, Value

FORMAT = "azemu-storage"
VERSION = 1
_LONGEST_HEADER_BYTES: Final = 64 * 1024 * 1024


class TransferFileError(EmulatorError):
    """The file cannot be read or written, or is not a complete export of a known version. The message says where."""


class Kind(enum.Enum):
    """Kind of an item, with the word in the file."""

    QUEUE = "queue"
    TABLE = "table"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True)
class Item:
    """A queue, a table or a container."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """First line of a file. `source`: description of the account. `blobs`: URL that its container URLs begin with."""

    id: str
    exported_at: datetime
    source: str
    blobs: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """Beginning of an item: its records follow."""

    item: Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A queue message. `visible_at` None: it was visible. `expires_at` None: it never expires."""

    text: str
    id: str
    dequeue_count: int
    visible_at: datetime | None
    expires_at: datetime | None

    @classmethod
    def of(cls, message: QueueMessage, now: datetime) -> Message:
        return cls(
            text=message.body,
            id=message.id,
            dequeue_count=message.dequeue_count,
            # A time in the past has no meaning for the target.
            visible_at=message.next_visible_at if message.next_visible_at > now else None,
            expires_at=message.expires_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A block blob."""

    name: str
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    content: bytes = field(repr=False)

    @classmethod
    def of(cls, properties: BlobProperties, content: bytes) -> Blob:
        return cls(
            name=properties.name,
            content_type=properties.content_type,
            metadata=properties.metadata,
            content=content,
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """End of an item. `unreadable`: number of hidden messages that could not be read and are missing."""

    item: Item
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """Last line of a complete file."""


Record = Begin | Message | Row | Blob | Mark | End


# Writing -----------------------------------------------------------------------------------------------------


def header_line(header: Header) -> bytes:
    """Return the line of a header."""
    return _line(
        {
            "format": FORMAT,
            "version": VERSION,
            "id": header.id,
            "exportedAt": header.exported_at.isoformat(),
            "source": header.source,
            "blobs": header.blobs,
            "items": [[item.kind.value, item.name] for item in header.items],
        }
    )


def record_line(record: Record) -> bytes:
    """Return the line of a record."""
    match record:
        case Begin(item):
            return _line({"begin": [item.kind.value, item.name]})
        case Message():
            details: dict[str, Any] = {"dequeueCount": record.dequeue_count}
            if record.visible_at is not None:
                details["visibleAt"] = record.visible_at.isoformat()
            if record.expires_at is not None:
                details["expiresAt"] = record.expires_at.isoformat()
            return _line({"message": record.text, "id": record.id, **details})
        case Row():
            properties = {name: _json_value(value) for name, value in record.properties.items()}
            return _line({"row": [record.partition_key, record.row_key, properties]})
        case Blob():
            content = base64.b64encode(record.content).decode("ascii")
            return _line(
                {
                    "blob": record.name,
                    "contentType": record.content_type,
                    "metadata": dict(record.metadata),
                    "content": content,
                }
            )
        case Mark(item, unreadable):
            hidden = {"unreadableMessages": unreadable} if unreadable else {}
            # Earlier versions of azemu refuse a mark without a position.
            return _line({"mark": [item.kind.value, item.name], "position": None, **hidden})
        case End():
            return _line({"end": True})


def _json_value(value: Value) -> Any:
    """Return a string, Int32 or Boolean as a JSON value, the others with their Edm type."""
    match value:
        case str() | bool() | int():
            return value
        case Int64(number):
            # As text, because many JSON readers lose digits of numbers beyond 53 bits.
            return {"Edm.Int64": str(number)}
        case float():
            # A Double with an integer value would be read as an Int32 without its type.
            return {"Edm.Double": value if math.isfinite(value) else str(value)}
        case Instant():
            return {"Edm.DateTime": value.text7}
        case uuid.UUID():
            return {"Edm.Guid": str(value)}
        case bytes():
            return {"Edm.Binary": base64.b64encode(value).decode("ascii")}


def _line(content: Mapping[str, Any]) -> bytes:
    # ASCII with escapes: a row may hold a lone surrogate, which has no UTF-8. Line feeds in values are escaped, too, so
    # that each record is one line.
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


@contextmanager
def opened(path: Path, mode: Literal["rb", "wb"]) -> Iterator[BinaryIO]:
    """Open a file. Raises TransferFileError if it cannot be opened, or read or written in the body."""
    try:
        with path.open(mode) as file:
            yield file
    except OSError as error:
        raise TransferFileError(
            f"{path} cannot be used: {error.strerror or error}. Check the path, its permissions and the free space."
        ) from error


# Reading -----------------------------------------------------------------------------------------------------

# What reading the members of a line raises if one is missing, of another type, out of range or nested too deeply.
_WRONG = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def read_header(file: BinaryIO, path: Path) -> Header:
    """Read the first line. Raises TransferFileError if it is not a header, or one of a newer version."""
    no_header = TransferFileError(
        f"{path} is not a storage export of azemu: its first line is not a header. "
        "Pass a file that `azemu storage export` has written."
    )
    try:
        # With a limit, because a file of another kind may be large and have no line feed.
        content = json.loads(file.readline(_LONGEST_HEADER_BYTES))
        known, version = content["format"] == FORMAT, int(content["version"])
    except _WRONG:
        raise no_header from None
    if not known:
        raise no_header
    # Only format and version are read so far: the rest may be different in another version.
    if version > VERSION:
        raise TransferFileError(
            f"{path} was written by a newer azemu: it has version {version}, this azemu reads {VERSION}. Update azemu."
        )
    try:
        return Header(
            id=_text(content["id"]),
            exported_at=datetime.fromisoformat(content["exportedAt"]),
            source=_text(content["source"]),
            blobs=_text(content["blobs"]),
            items=tuple(_item(item) for item in content["items"]),
        )
    except _WRONG:
        raise TransferFileError(f"{path} is damaged: its first line cannot be read. Export again.") from None


def read_records(file: BinaryIO, path: Path) -> Iterator[tuple[Record, int]]:
    """Yield the records from the file's position on, each with the position behind it.

    Raises TransferFileError for a line that is damaged or cut short.
    """
    while line := file.readline():
        try:
            record = _record(json.loads(line))
        except _WRONG:
            start = file.tell() - len(line)
            raise TransferFileError(
                f"{path} is damaged: the line at byte {start} cannot be read. Export again."
            ) from None
        if record is not None:
            yield record, file.tell()


def _record(content: Mapping[str, Any]) -> Record | None:
    """Read a record; None for a record that is obsolete."""
    match content:
        case {"begin": item}:
            return Begin(_item(item))
        # Patterns of objects ignore other members, so a later version may add some.
        case {"message": text, "id": id_, "dequeueCount": int(count)}:
            return Message(
                text=_text(text),
                id=_text(id_),
                dequeue_count=count,
                visible_at=_moment(content.get("visibleAt")),
                expires_at=_moment(content.get("expiresAt")),
            )
        case {"row": [partition_key, row_key, properties]}:
            values = {name: _value(value) for name, value in properties.items()}
            return Row(_text(partition_key), _text(row_key), values)
        case {"blob": name, "contentType": content_type, "metadata": metadata, "content": data}:
            return Blob(
                name=_text(name),
                content_type=_text(content_type),
                metadata={name: _text(value) for name, value in metadata.items()},
                content=base64.b64decode(data, validate=True),
            )
        case {"mark": item, "position": None}:
            return Mark(_item(item), int(content.get("unreadableMessages", 0)))
        case {"mark": _, "position": str()}:
            # From an earlier version: the place in a table where an interrupted export could be resumed.
            return None
        case {"end": True}:
            return End()
    raise ValueError("unknown record")


def _text(content: Any) -> str:
    if not isinstance(content, str):
        raise TypeError("no text")
    return content


def _item(content: Any) -> Item:
    kind, name = content
    return Item(Kind(kind), _text(name))


def _moment(text: str | None) -> datetime | None:
    moment = None if text is None else datetime.fromisoformat(text)
    if moment is not None and moment.tzinfo is None:
        raise ValueError("a time without its offset")
    return moment


def _value(content: Any) -> Value:
    match content:
        case str() | bool():
            return content
        case int() if -(2**31) <= content < 2**31:
            return content
        case {"Edm.Int64": text} if -(2**63) <= int(text) < 2**63:
            return Int64(int(text))
        case {"Edm.Double": number}:
            # Also the texts "nan", "inf" and "-inf".
            return float(number)
        case {"Edm.DateTime": text}:
            return Instant.parse(text)
        case {"Edm.Guid": text}:
            return uuid.UUID(text)
        case {"Edm.Binary": text}:
            return base64.b64decode(text, validate=True)
    raise ValueError("unknown value")
