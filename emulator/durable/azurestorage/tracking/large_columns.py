"""History rows with texts that are too large for a column: out to blobs, and back.

Source: docs/protocol/task-hub-storage.md chapter 3.5 (durabletask: AzureTableTrackingStore.cs).
"""

from __future__ import annotations

from emulator.durable.azurestorage.large import LargePayloads, too_large_for_column
from emulator.durable.azurestorage.tracking.rows import LARGE_COLUMNS, Columns
from emulator.storage.port import Row


async def offload(row: Row, event_type: str, large: LargePayloads) -> tuple[Row, dict[str, str]]:
    """Move the large columns of a row to blobs. Returns the row and the URL of each column that moved."""
    columns, urls = dict(row.properties), dict[str, str]()
    for name in LARGE_COLUMNS:
        text = columns.get(name)
        if not isinstance(text, str) or not too_large_for_column(text):
            continue
        blob, urls[name] = await large.store_column(row.partition_key, row.row_key, event_type, name, text)
        columns[name] = ""
        columns[f"{name}BlobName"] = blob
    return Row(row.partition_key, row.row_key, columns, row.etag, row.timestamp), urls


async def inline(row: Row, large: LargePayloads) -> tuple[Row, list[str]]:
    """Put large columns back into a row that was read. Returns the row and the names of its blobs.

    Raises NotFound, DamagedPayload.
    """
    if not any(name.endswith("BlobName") for name in row.properties):
        return row, []
    columns: Columns = dict(row.properties)
    blobs = []
    for name in LARGE_COLUMNS:
        blob = columns.pop(f"{name}BlobName", None)
        if isinstance(blob, str) and blob:
            columns[name] = await large.load(blob)
            blobs.append(blob)
    return Row(row.partition_key, row.row_key, columns, row.etag, row.timestamp), blobs
