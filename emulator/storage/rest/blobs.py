"""Blob containers, blobs and leases over REST. Source: "Blob Service REST API" of the Azure Storage REST reference."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta

from emulator.ids import new_id
from emulator.storage.blob_signal import BlobSignal
from emulator.storage.error_mapping import check_blob_name, invalid_request
from emulator.storage.port import AlreadyExists, BlobProperties, BlobRange, LeaseState, NotFound
from emulator.storage.rest.http_dates import parse_http_date
from emulator.storage.rest.service import StorageService, escaped
from emulator.storage.rest.transport import Response
from emulator.storage.rest.xml import Element, next_marker, parse, text_of

_CONTAINER = (("restype", "container"),)
_METADATA_PREFIX = "x-ms-meta-"
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NOT_FOUND = frozenset({404})
_BLOCK_BLOB = "BlockBlob"
# The range begins behind the end of the blob, or the blob is empty.
_NO_SUCH_RANGE = frozenset({416})


class RestContainer:
    """Implements storage.port.BlobContainer."""

    def __init__(self, name: str, service: StorageService, signal: BlobSignal) -> None:
        self.name = name
        self._service = service
        self._signal = signal
        self._path = f"/{escaped(name)}"

    async def create(self) -> bool:
        try:
            await self._service.request(f"create container {self.name}", "PUT", self._path, query=_CONTAINER)
        except AlreadyExists as refused:
            # Also 409 while a container of this name is being deleted, which is an error for callers.
            if refused.code != "ContainerAlreadyExists":
                raise
            return False
        return True

    async def drop(self, *, lease_id: str | None = None) -> bool:
        try:
            await self._service.request(
                f"delete container {self.name}", "DELETE", self._path, query=_CONTAINER, headers=_lease(lease_id)
            )
        except NotFound:
            return False
        return True

    async def exists(self) -> bool:
        response = await self._service.request(
            f"look for container {self.name}", "HEAD", self._path, query=_CONTAINER, accept=_NOT_FOUND
        )
        return response.status != 404

    async def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        query = (*_CONTAINER, ("comp", "list"), ("include", "metadata"), *((("prefix", prefix),) if prefix else ()))
        marker = ""
        while True:
            response = await self._service.request(
                f"list the blobs of container {self.name}",
                "GET",
                self._path,
                query=(*query, ("marker", marker)) if marker else query,
            )
            listing = parse(response.body)
            for blob in listing.iterfind("Blobs/Blob"):
                yield _properties_from_listing(blob)
            marker = next_marker(listing)
            if not marker:
                return

    async def properties(self, blob: str) -> BlobProperties:
        return await self._properties(blob, {})

    async def read(self, blob: str) -> bytes:
        return (await self._service.request(self._action("read", blob), "GET", self._blob(blob))).body

    async def read_range(self, blob: str, offset: int, length: int, *, if_match: str | None = None) -> BlobRange:
        condition = {} if if_match is None else {"If-Match": if_match}
        response = await self._service.request(
            self._action("read", blob),
            "GET",
            self._blob(blob),
            headers={"x-ms-range": f"bytes={offset}-{offset + length - 1}", **condition},
            accept=_NO_SUCH_RANGE,
        )
        if response.status == 416:
            return BlobRange(b"", await self._properties(blob, condition))
        properties = _properties_from_headers(blob, response)
        # "bytes 0-99/1000". The Content-Length is that of the range.
        _, _, size = response.headers.get("Content-Range", "").rpartition("/")
        return BlobRange(response.body, replace(properties, size=int(size)) if size else properties)

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
        headers = {
            "x-ms-blob-type": _BLOCK_BLOB,
            # The type of the blob. Content-Type is that of the request's body.
            "x-ms-blob-content-type": content_type,
            "Content-Type": "application/octet-stream",
            **_lease(lease_id),
            **_metadata_headers(action, metadata or {}),
        }
        # Both conditions together would never be fulfilled.
        if only_if_new:
            headers["If-None-Match"] = "*"
        elif if_match is not None:
            headers["If-Match"] = if_match
        response = await self._service.request(action, "PUT", self._blob(blob), headers=headers, body=content)
        self._signal.note(self.name)
        return BlobProperties(
            name=blob,
            size=len(content),
            etag=response.headers["ETag"],
            last_modified=parse_http_date(response.headers["Last-Modified"]),
            content_type=content_type,
            metadata=dict(metadata or {}),
            # The response does not contain it. A write with a lease id succeeds only while the lease is held.
            lease_state=LeaseState.LEASED if lease_id else LeaseState.AVAILABLE,
        )

    async def set_metadata(self, blob: str, metadata: Mapping[str, str], *, lease_id: str | None = None) -> None:
        action = self._action("set the metadata of", blob)
        headers = {**_lease(lease_id), **_metadata_headers(action, metadata)}
        await self._service.request(action, "PUT", self._blob(blob), query=(("comp", "metadata"),), headers=headers)
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
        headers = {"x-ms-blob-content-type": content_type, **_metadata_headers(action, metadata or {})}
        # Ids of their own: two writers of one blob must not replace each other's blocks. All have the same length, as
        # the service demands.
        upload, ids, size = new_id(), list[str](), 0
        async for block in blocks:
            # The service refuses an empty block.
            if not block:
                continue
            ids.append(base64.b64encode(f"{upload}{len(ids):06}".encode()).decode())
            size += len(block)
            await self._service.request(
                action,
                "PUT",
                self._blob(blob),
                query=(("comp", "block"), ("blockid", ids[-1])),
                headers={"Content-Type": "application/octet-stream"},
                body=block,
            )
        listed = "".join(f"<Latest>{block_id}</Latest>" for block_id in ids)
        response = await self._service.request(
            action,
            "PUT",
            self._blob(blob),
            query=(("comp", "blocklist"),),
            headers={"Content-Type": "application/xml", **headers},
            body=f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode(),
        )
        self._signal.note(self.name)
        return BlobProperties(
            name=blob,
            size=size,
            etag=response.headers["ETag"],
            last_modified=parse_http_date(response.headers["Last-Modified"]),
            content_type=content_type,
            metadata=dict(metadata or {}),
        )

    async def delete(self, blob: str, *, lease_id: str | None = None) -> bool:
        try:
            await self._service.request(
                self._action("delete", blob), "DELETE", self._blob(blob), headers=_lease(lease_id)
            )
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

    def lease(self, blob: str | None = None) -> RestLease:
        if blob is None:
            return RestLease(self._service, self._path, _CONTAINER, f"container {self.name}")
        return RestLease(self._service, self._blob(blob), (), f"blob {blob} of container {self.name}")

    def url(self, blob: str) -> str:
        return self._service.endpoint + self._blob(blob)

    async def _properties(self, blob: str, headers: Mapping[str, str]) -> BlobProperties:
        response = await self._service.request(self._action("look at", blob), "HEAD", self._blob(blob), headers=headers)
        return _properties_from_headers(blob, response)

    def _blob(self, blob: str) -> str:
        return f"{self._path}/" + "/".join(escaped(segment) for segment in blob.split("/"))

    def _action(self, verb: str, blob: str) -> str:
        return f"{verb} blob {blob} of container {self.name}"


class RestLease:
    """Implements storage.port.Lease."""

    def __init__(self, service: StorageService, path: str, query: tuple[tuple[str, str], ...], target: str) -> None:
        self._service = service
        self._path = path
        self._query = (*query, ("comp", "lease"))
        self._target = target

    async def acquire(self, lease_id: str, *, duration: timedelta | None) -> None:
        # The service writes an infinite lease as -1.
        seconds = -1 if duration is None else int(duration.total_seconds())
        await self._request("acquire", {"x-ms-lease-duration": str(seconds), "x-ms-proposed-lease-id": lease_id})

    async def renew(self, lease_id: str) -> None:
        await self._request("renew", _lease(lease_id))

    async def change(self, lease_id: str, *, new_lease_id: str) -> None:
        await self._request("change", {**_lease(lease_id), "x-ms-proposed-lease-id": new_lease_id})

    async def release(self, lease_id: str) -> None:
        await self._request("release", _lease(lease_id))

    async def break_(self, *, after: timedelta | None = None) -> None:
        await self._request(
            "break", {} if after is None else {"x-ms-lease-break-period": str(int(after.total_seconds()))}
        )

    async def _request(self, verb: str, headers: Mapping[str, str]) -> None:
        await self._service.request(
            f"{verb} the lease of {self._target}",
            "PUT",
            self._path,
            query=self._query,
            headers={"x-ms-lease-action": verb, **headers},
        )


def _lease(lease_id: str | None) -> dict[str, str]:
    return {} if lease_id is None else {"x-ms-lease-id": lease_id}


def _metadata_headers(action: str, metadata: Mapping[str, str]) -> dict[str, str]:
    # Checked here, because such a header would break the request, or the service would answer with an unclear error.
    for name, value in metadata.items():
        if not _IDENTIFIER.fullmatch(name):
            raise invalid_request(
                action, "InvalidMetadata", f"{name!r} cannot be a metadata name: it is not a C# identifier."
            )
        if not value.isascii():
            raise invalid_request(action, "InvalidMetadata", f"The metadata {name!r} has a value that is not ASCII.")
    # The service removes the blanks around a header's value before it checks the signature.
    return {_METADATA_PREFIX + name: value.strip(" \t") for name, value in metadata.items()}


def _properties_from_headers(name: str, response: Response) -> BlobProperties:
    headers = response.headers
    created = headers.get("x-ms-creation-time")
    # In the response to a range, Content-MD5 would be that of the range.
    md5 = headers.get("x-ms-blob-content-md5") or headers.get("Content-MD5")
    return BlobProperties(
        name=name,
        size=int(headers["Content-Length"]),
        etag=headers["ETag"],
        last_modified=parse_http_date(headers["Last-Modified"]),
        content_type=headers.get("Content-Type", ""),
        metadata={
            header[len(_METADATA_PREFIX) :]: value
            for header, value in headers.items()
            if header.lower().startswith(_METADATA_PREFIX)
        },
        lease_state=LeaseState(headers.get("x-ms-lease-state", "available")),
        created_at=parse_http_date(created) if created else None,
        content_md5=base64.b64decode(md5) if md5 else None,
        blob_type=headers.get("x-ms-blob-type", _BLOCK_BLOB),
        content_encoding=headers.get("Content-Encoding"),
        content_language=headers.get("Content-Language"),
        content_disposition=headers.get("Content-Disposition"),
        cache_control=headers.get("Cache-Control"),
    )


def _properties_from_listing(blob: Element) -> BlobProperties:
    properties = blob.find("Properties")
    assert properties is not None  # Every blob of a listing has them.
    created, md5 = text_of(properties, "Creation-Time"), text_of(properties, "Content-MD5")
    etag = text_of(properties, "Etag")
    return BlobProperties(
        name=text_of(blob, "Name"),
        size=int(text_of(properties, "Content-Length")),
        # Azure leaves out the quotes here, unlike in headers. As an If-Match the ETag needs them.
        etag=etag if etag.startswith('"') else f'"{etag}"',
        last_modified=parse_http_date(text_of(properties, "Last-Modified")),
        content_type=text_of(properties, "Content-Type"),
        metadata={item.tag: item.text or "" for item in blob.iterfind("Metadata/*")},
        lease_state=LeaseState(text_of(properties, "LeaseState") or "available"),
        created_at=parse_http_date(created) if created else None,
        content_md5=base64.b64decode(md5) if md5 else None,
        blob_type=text_of(properties, "BlobType") or _BLOCK_BLOB,
        content_encoding=text_of(properties, "Content-Encoding") or None,
        content_language=text_of(properties, "Content-Language") or None,
        content_disposition=text_of(properties, "Content-Disposition") or None,
        cache_control=text_of(properties, "Cache-Control") or None,
    )
