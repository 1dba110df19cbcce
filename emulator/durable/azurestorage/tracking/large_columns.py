"""Large columns of History rows: move texts that are too large for a column to blobs, and back.

Source: docs/protocol/task-hub-storage.md chapter 3.5 (durabletask: AzureTableTrackingStore.cs).
"""

from __future__ import annotations

from emulator.durable.azurestorage.large import LargePayloads, too_large_for_column
from emulator.durable.azurestorage.tracking.rows import LARGE_COLUMNS, Columns
from emulator.storage.port import Row


async def offload(row: Row, event_type: str, large: LargePayloads) -> tuple[Row, dict[str, str]]:
    """Move the large columns of a row to blobs. Returns the row and the URL of each column that was moved."""
    columns, urls = dict(row.properties), dict[str, str]()
    for name in LARGE_COLUMNS:
        text = columns.get(name)
        if not isinstance(text, str) or not too_large_for_column(text):
            continue
        # The blob is uploaded before the row that refers to it. A crash in between leaves a blob without a row, which a
        # purge of the instance deletes; the other order would leave a history that cannot be loaded.
        blob, urls[name] = await large.store_column(row.partition_key, row.row_key, event_type, name, text)
        columns[name] = ""
        columns[f"{name}BlobName"] = blob
    return Row(row.partition_key, row.row_key, columns, row.etag, row.timestamp), urls


async def inline(row: Row, large: LargePayloads) -> tuple[Row, list[str]]:
    """Put the texts in blobs back into the columns of a row. Returns the row and the names of its blobs.

    Raises NotFound or DamagedPayload if a blob is missing or unreadable.
    """
    # Nearly all rows have no large columns and need no copy.
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
