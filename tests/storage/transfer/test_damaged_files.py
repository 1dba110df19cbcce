"""Import of damaged files: the error names the file, and the target stays as it was."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.storage.builtin import open_builtin
from emulator.storage.transfer.export_file import TransferFileError
from emulator.storage.transfer.importing import import_account
from tests.storage.bench import bodies

HEADER: dict[str, Any] = {
    "format": "azemu-storage",
    "version": 1,
    "id": "x",
    "exportedAt": "2026-01-01T00:00:00+00:00",
    "source": "s",
    "blobs": "http://b",
    "items": [["queue", "jobs"], ["table", "Users"], ["container", "files"]],
}
QUEUE, TABLE, CONTAINER = ({"begin": item} for item in HEADER["items"])
MESSAGE = {"message": "new", "id": "c9da6455-213d-42c9-9a79-3e9149a57833", "dequeueCount": 0}
ROW = {"row": ["p", "r", {}]}
BLOB = {"blob": "a", "contentType": "text/plain", "metadata": {}, "content": "aGVsbG8="}
END = {"end": True}


def lines(*contents: object) -> bytes:
    return b"".join(json.dumps(content, separators=(",", ":")).encode() + b"\n" for content in contents)


def complete(*records: object) -> bytes:
    return lines(HEADER, *records, END)


DEEP = b"[" * 200_000

FILES: dict[str, bytes] = {
    "empty": b"",
    "binary": bytes(range(256)) * 50,
    "compressed": gzip.compress(complete(QUEUE, MESSAGE)),
    "deep header": DEEP + b"\n",
    "no object": lines([1, 2], END),
    **{f"header without {name}": lines({**HEADER, name: None}, END) for name in HEADER},
    "header with a number as time": lines({**HEADER, "exportedAt": 5}, END),
    "header with another kind": lines({**HEADER, "items": [["share", "jobs"]]}, END),
    "header with an object as kind": lines({**HEADER, "items": [[{}, "jobs"]]}, END),
    "header with a number as name": lines({**HEADER, "items": [["queue", 5]]}, END),
    "cut short": complete(QUEUE, MESSAGE)[:-20],
    "cut within the header": lines(HEADER)[:50],
    "deep line": lines(HEADER, QUEUE, MESSAGE) + DEEP + b"\n" + lines(END),
    "binary line": lines(HEADER, QUEUE, MESSAGE) + b"\xff\xfe\x00\n" + lines(END),
    "unknown record": complete(QUEUE, MESSAGE, {"nonsense": 1}),
    "list as record": complete(QUEUE, MESSAGE, [1]),
    "number as message": complete(QUEUE, {**MESSAGE, "message": 5}),
    "text as count": complete(QUEUE, {**MESSAGE, "dequeueCount": "one"}),
    "time without offset": complete(QUEUE, {**MESSAGE, "visibleAt": "2030-01-01T00:00:00"}),
    "number as time": complete(QUEUE, {**MESSAGE, "expiresAt": 5}),
    "message in a table": complete(TABLE, MESSAGE),
    "message outside": complete(MESSAGE),
    "row in a queue": complete(QUEUE, MESSAGE, ROW),
    "blob in a table": complete(TABLE, BLOB),
    "number as key": complete(TABLE, {"row": ["p", 5, {}]}),
    "list of properties": complete(TABLE, {"row": ["p", "r", ["Name"]]}),
    "integer out of range": complete(TABLE, {"row": ["p", "r", {"n": 2**31}]}),
    "long out of range": complete(TABLE, {"row": ["p", "r", {"n": {"Edm.Int64": str(2**63)}}]}),
    "list as long": complete(TABLE, {"row": ["p", "r", {"n": {"Edm.Int64": []}}]}),
    "number as guid": complete(TABLE, {"row": ["p", "r", {"n": {"Edm.Guid": 5}}]}),
    "number as date": complete(TABLE, {"row": ["p", "r", {"n": {"Edm.DateTime": 5}}]}),
    "wrong base64": complete(CONTAINER, {**BLOB, "content": "a*b"}),
    "number as metadata": complete(CONTAINER, {**BLOB, "metadata": {"by": 5}}),
    "text as metadata": complete(CONTAINER, {**BLOB, "metadata": "by"}),
    "unlisted item": complete({"begin": ["table", "Other"]}),
    "end of another item": complete(QUEUE, {"mark": ["table", "Users"], "position": None}),
    "text as number of messages": complete(
        QUEUE, {"mark": ["queue", "jobs"], "position": None, "unreadableMessages": "some"}
    ),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
async def test_damaged_file_is_refused_and_changes_nothing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "backup.jsonl"
    file.write_bytes(content)
    async with open_builtin(None, SystemClock()) as account:
        await account.queue("jobs").create()
        await account.queue("jobs").put("old")
        with pytest.raises(TransferFileError) as refused:
            await import_account(file, account, clock=SystemClock(), force=True)
        assert str(file) in str(refused.value)
        assert await bodies(account.queue("jobs")) == ["old"]


async def test_file_of_these_records_without_damage_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "backup.jsonl"
    file.write_bytes(complete(QUEUE, MESSAGE, TABLE, ROW, CONTAINER, BLOB))
    async with open_builtin(None, SystemClock()) as account:
        await import_account(file, account, clock=SystemClock())
        assert await bodies(account.queue("jobs")) == ["new"]
        assert await account.container("files").read("a") == b"hello"
