"""Blob containers, blobs and leases through azure-storage-blob."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from azure.core import MatchConditions
from azure.storage.blob import BlobBlock, ContentSettings
from azure.storage.blob import BlobProperties as SdkProperties
from azure.storage.blob.aio import BlobClient, BlobLeaseClient, ContainerClient

from emulator.ids import new_id
from emulator.storage.azure.sdk_calls import SdkCalls
from emulator.storage.blob_signal import BlobSignal
from emulator.storage.error_mapping import check_blob_name, invalid_request
from emulator.storage.port import AlreadyExists, BlobProperties, BlobRange, LeaseState, NotFound, StorageError

# How the SDK and the service write an infinite duration.
_INFINITE = -1


class AzureContainer:
    """Implements storage.port.BlobContainer."""

    def __init__(self, client: ContainerClient, calls: SdkCalls, signal: BlobSignal) -> None:
        self._client = client
        self._calls = calls
        self._signal = signal
        self.name: str = client.container_name

    async def create(self) -> bool:
        try:
            await self._calls.run(f"create container {self.name}", self._client.create_container())
        except AlreadyExists:
            return False
        return True

    async def drop(self, *, lease_id: str | None = None) -> bool:
        try:
            await self._calls.run(f"delete container {self.name}", self._client.delete_container(lease=lease_id))
        except NotFound:
            return False
        return True

    async def exists(self) -> bool:
        return await self._calls.run(f"look for container {self.name}", self._client.exists())

    async def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        action = f"list the blobs of container {self.name}"
        pages = self._client.list_blobs(name_starts_with=prefix or None, include=["metadata"]).by_page()
        # By page, so that each request is a call of its own, with its errors translated.
        while True:
            try:
                page = await self._calls.run(action, anext(pages))
            except StopAsyncIteration:
                return
            async for properties in page:
                yield _properties(properties)

    def _blob_client(self, blob: str) -> BlobClient:
        try:
            return self._client.get_blob_client(blob)
        except UnicodeEncodeError:
            reason = f"{blob!a} has half of a surrogate pair, which a URL may not have."
            raise invalid_request(self._action("address", blob), "InvalidUri", reason) from None

    async def properties(self, blob: str) -> BlobProperties:
        client = self._blob_client(blob)
        return _properties(await self._calls.run(self._action("look at", blob), client.get_blob_properties()))

    async def read(self, blob: str) -> bytes:
        return await self._calls.run(self._action("read", blob), self._download(blob))

    async def _download(self, blob: str) -> bytes:
        # Callers get the content as it was stored, also if another program stored it compressed.
        stream = await self._blob_client(blob).download_blob(decompress=False)
        return await stream.readall()

    async def read_range(self, blob: str, offset: int, length: int, *, if_match: str | None = None) -> BlobRange:
        condition: dict[str, Any] = {}
        if if_match is not None:
            condition = {"etag": if_match, "match_condition": MatchConditions.IfNotModified}

        async def download() -> BlobRange:
            client = self._blob_client(blob)
            stream = await client.download_blob(offset, length, decompress=False, **condition)
            content, properties = await stream.readall(), _properties(stream.properties)
            # "bytes 0-99/1000". The SDK takes the length of the range for the size of the blob.
            _, _, size = (stream.properties.content_range or "").rpartition("/")
            return BlobRange(content, replace(properties, size=int(size)) if size else properties)

        try:
            return await self._calls.run(self._action("read", blob), download())
        except StorageError as refused:
            if refused.status != 416:
                raise
        # The range begins behind the end of the blob.
        client = self._blob_client(blob)
        properties = await self._calls.run(self._action("look at", blob), client.get_blob_properties(**condition))
        return BlobRange(b"", _properties(properties))

    async def write(
        self,
        blob: str,
        content: bytes,
        *,
        only_if_new: bool = False,
        if_match: str | None = None,
        lease_id: str | None = None,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> BlobProperties:
        action = self._action("write", blob)
        check_blob_name(action, blob)
        options: dict[str, Any] = {"lease": lease_id}
        if if_match is not None:
            options |= {"etag": if_match, "match_condition": MatchConditions.IfNotModified}
        response = await self._calls.run(
            action,
            self._blob_client(blob).upload_blob(
                content,
                overwrite=not only_if_new,
                content_settings=ContentSettings(content_type=content_type),
                metadata=_signed(metadata) if metadata else None,
                **options,
            ),
        )
        self._signal.note(self.name)
        return BlobProperties(
            name=blob,
            size=len(content),
            etag=response["etag"],
            last_modified=response["last_modified"],
            content_type=content_type,
            metadata=dict(metadata or {}),
            # The response does not contain it. A write with a lease id succeeds only while the lease is held.
            lease_state=LeaseState.LEASED if lease_id else LeaseState.AVAILABLE,
        )

    async def set_metadata(self, blob: str, metadata: Mapping[str, str], *, lease_id: str | None = None) -> None:
        await self._calls.run(
            self._action("set the metadata of", blob),
            self._blob_client(blob).set_blob_metadata(_signed(metadata), lease=lease_id),
        )
        self._signal.note(self.name)

    async def write_blocks(
        self,
        blob: str,
        blocks: AsyncIterator[bytes],
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> BlobProperties:
        action = self._action("write", blob)
        check_blob_name(action, blob)
        client = self._blob_client(blob)
        # Ids of their own: two writers of one blob must not replace each other's blocks.
        upload, ids, size = new_id(), list[str](), 0
        async for block in blocks:
            # The service refuses an empty block.
            if not block:
                continue
            # The SDK encodes the ids.
            ids.append(f"{upload}{len(ids):06}")
            size += len(block)
            await self._calls.run(action, client.stage_block(ids[-1], block, length=len(block)))
        response: Mapping[str, Any] = await self._calls.run(
            action,
            client.commit_block_list(
                [BlobBlock(block_id) for block_id in ids],
                content_settings=ContentSettings(content_type=content_type),
                metadata=_signed(metadata) if metadata else None,
            ),
        )
        self._signal.note(self.name)
        return BlobProperties(
            name=blob,
            size=size,
            etag=response["etag"],
            last_modified=response["last_modified"],
            content_type=content_type,
            metadata=dict(metadata or {}),
        )

    async def delete(self, blob: str, *, lease_id: str | None = None) -> bool:
        client = self._blob_client(blob)
        try:
            await self._calls.run(self._action("delete", blob), client.delete_blob(lease=lease_id))
        except NotFound as error:
            # Callers would not notice a misspelled container otherwise.
            if error.code == "ContainerNotFound":
                raise
            return False
        return True

    def changes(self) -> int:
        return self._signal.changes(self.name)

    async def wait(self, at_most: timedelta, *, since: int) -> None:
        await self._signal.wait(self.name, at_most, since=since)

    def lease(self, blob: str | None = None) -> AzureLease:
        client = self._client if blob is None else self._blob_client(blob)
        target = f"container {self.name}" if blob is None else f"blob {blob} of container {self.name}"
        return AzureLease(client, target, self._calls)

    def url(self, blob: str) -> str:
        return f"{self._calls.endpoint}/{self.name}/" + "/".join(quote(part, safe="") for part in blob.split("/"))

    def _action(self, verb: str, blob: str) -> str:
        return f"{verb} blob {blob} of container {self.name}"


class AzureLease:
    """Implements storage.port.Lease."""

    def __init__(self, client: Any, target: str, calls: SdkCalls) -> None:
        self._client = client
        self._target = target
        self._calls = calls

    async def acquire(self, lease_id: str, *, duration: timedelta | None) -> None:
        seconds = _INFINITE if duration is None else int(duration.total_seconds())
        await self._calls.run(
            f"acquire the lease of {self._target}", self._lease(lease_id).acquire(lease_duration=seconds)
        )

    async def renew(self, lease_id: str) -> None:
        await self._calls.run(f"renew the lease of {self._target}", self._lease(lease_id).renew())

    async def change(self, lease_id: str, *, new_lease_id: str) -> None:
        await self._calls.run(f"change the lease of {self._target}", self._lease(lease_id).change(new_lease_id))

    async def release(self, lease_id: str) -> None:
        await self._calls.run(f"release the lease of {self._target}", self._lease(lease_id).release())

    async def break_(self, *, after: timedelta | None = None) -> None:
        seconds = None if after is None else int(after.total_seconds())
        await self._calls.run(
            f"break the lease of {self._target}", self._lease(None).break_lease(lease_break_period=seconds)
        )

    def _lease(self, lease_id: str | None) -> BlobLeaseClient:
        # A new client per call: it keeps the id, and changes it after some calls.
        return BlobLeaseClient(self._client, lease_id)


def _signed(metadata: Mapping[str, str]) -> dict[str, str]:
    # The SDK would sign the blanks around a header's value, which the service removes first.
    return {name: value.strip(" \t") for name, value in metadata.items()}


def _properties(sdk: SdkProperties) -> BlobProperties:
    settings = sdk.content_settings
    return BlobProperties(
        name=sdk.name,
        size=sdk.size,
        # A listing has ETags without the quotes that headers have. As an If-Match the ETag needs them.
        etag=sdk.etag if sdk.etag.startswith('"') else f'"{sdk.etag}"',
        last_modified=sdk.last_modified,
        content_type=settings.content_type or "",
        metadata=dict(sdk.metadata or {}),
        lease_state=LeaseState(sdk.lease.state),
        created_at=sdk.creation_time,
        content_md5=bytes(settings.content_md5) if settings.content_md5 else None,
        blob_type=str(getattr(sdk.blob_type, "value", sdk.blob_type) or "BlockBlob"),
        content_encoding=settings.content_encoding,
        content_language=settings.content_language,
        content_disposition=settings.content_disposition,
        cache_control=settings.cache_control,
    )
