"""Output bindings of type blob. Source: docs/protocol/functions-host.md 7.4 and 8.4."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Final

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.extensions.blobs.binding_paths import check_path, parse_blob_path
from emulator.host.bindings import connection_of
from emulator.host.context import ExtensionContext
from emulator.host.port import BindingContext, Function, Output
from emulator.storage.port import BlobContainer, NotFound
from emulator.worker.port import Binding, Datum, member_of

_BLOCK_BYTES: Final = 4 * 1024 * 1024
# Up to this size a blob is written in one request.
_LARGE_BYTES: Final = 8 * _BLOCK_BYTES
# The Functions host marks the blobs that functions write with the invocation.
_PARENT_ID: Final = "AzureWebJobsParentId"


class OutputStreamFailed(EmulatorError):
    """The stream that a function has set as a blob output cannot be read."""


def blob_output(context: ExtensionContext) -> Output:
    """Return the output binding: writes a block blob, and creates its container if it does not exist.

    The Functions host writes an empty blob first. Here a blob appears with its content, so that a trigger on it sees
    one version.
    """

    async def write(invocation: BindingContext, datum: Datum) -> None:
        path = parse_blob_path(str(member_of(invocation.properties, "path") or ""))
        blob = path.require_blob()
        container = context.accounts(connection_of(invocation.binding)).container(path.container)
        metadata = {_PARENT_ID: invocation.invocation_id}
        if datum.type == "stream":
            blocks = _blocks_of_stream(datum.value, context.clock)
            await _write_blocks(container, blob, blocks, metadata)
            return
        content = content_of(datum)
        if len(content) > _LARGE_BYTES:
            await _write_blocks(container, blob, _blocks_of_bytes(content), metadata)
            return
        try:
            await container.write(blob, content, metadata=metadata)
        except NotFound:
            await container.create()
            await container.write(blob, content, metadata=metadata)

    def validate(function: Function, binding: Binding) -> None:
        check_path(binding)

    return Output(write=write, validate=validate, required_members=["path"])


def content_of(datum: Datum) -> bytes:
    """Return the bytes of a value that is not a stream: text as UTF-8, JSON as it is."""
    match datum.type:
        case "bytes":
            return bytes(datum.value)
        # The Functions host writes a number that is not in a text as four bytes, lowest first.
        case "int":
            return int(datum.value & 0xFFFFFFFF).to_bytes(4, "little")
        case _:
            return str(datum.value).encode("utf-8", "surrogatepass")


async def _write_blocks(
    container: BlobContainer, blob: str, blocks: AsyncIterator[bytes], metadata: Mapping[str, str]
) -> None:
    # First, because the blocks can be sent only once.
    if not await container.exists():
        await container.create()
    await container.write_blocks(blob, blocks, metadata=metadata)


async def _blocks_of_bytes(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _BLOCK_BYTES):
        yield content[start : start + _BLOCK_BYTES]


async def _blocks_of_stream(stream: object, clock: Clock) -> AsyncIterator[bytes]:
    """Read a binary file object in blocks, on other threads: user code may be behind it."""
    read = getattr(stream, "read")  # noqa: B009 - of any file object
    while True:
        try:
            with clock.busy():
                block = await asyncio.to_thread(read, _BLOCK_BYTES)
        except Exception as error:
            raise OutputStreamFailed(f"The stream cannot be read: {type(error).__name__}: {error}") from error
        if not block:
            return
        yield block
