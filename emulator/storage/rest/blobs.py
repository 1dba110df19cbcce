"""Blob containers, blobs and leases over REST. Facts: the Blob Service part of the Azure Storage REST reference."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

from emulator.storage.error_mapping import invalid
from emulator.storage.port import AlreadyExists, BlobProperties, LeaseState, NotFound
from emulator.storage.rest.dates import parse_http_date
from emulator.storage.rest.http import Service, escaped
from emulator.storage.rest.transport import Answer
from emulator.storage.rest.xml import Element, next_marker, parse, text_of

_CONTAINER = (("restype", "container"),)
_METADATA = "x-ms-meta-"
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NOT_FOUND = frozenset({404})


class RestContainer:
    """See storage.api.BlobContainer."""

    def __init__(self, name: str, service: Service) -> None:
        self.name = name
        self._service = service
        self._path = f"/{escaped(name)}"

    async def create(self) -> bool:
        try:
            await self._service.ask(f"create container {self.name}", "PUT", self._path, query=_CONTAINER)
        except AlreadyExists as refused:
            if refused.code != "ContainerAlreadyExists":
                raise
            return False
        return True

    async def drop(self, *, lease_id: str | None = None) -> bool:
        try:
            await self._service.ask(
                f"delete container {self.name}", "DELETE", self._path, query=_CONTAINER, headers=_lease(lease_id)
            )
        except NotFound:
            return False
        return True

    async def exists(self) -> bool:
        answer = await self._service.ask(
            f"look for container {self.name}", "HEAD", self._path, query=_CONTAINER, accept=_NOT_FOUND
        )
        return answer.status != 404

    async def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        query = (*_CONTAINER, ("comp", "list"), ("include", "metadata"), *((("prefix", prefix),) if prefix else ()))
        marker = ""
        while True:
            answer = await self._service.ask(
                f"list the blobs of container {self.name}",
                "GET",
                self._path,
                query=(*query, ("marker", marker)) if marker else query,
            )
            listing = parse(answer.body)
            for blob in listing.iterfind("Blobs/Blob"):
                yield _listed(blob)
            marker = next_marker(listing)
            if not marker:
                return

    async def properties(self, blob: str) -> BlobProperties:
        return _described(blob, await self._service.ask(self._doing("look at", blob), "HEAD", self._blob(blob)))

    async def read(self, blob: str) -> bytes:
        return (await self._service.ask(self._doing("read", blob), "GET", self._blob(blob))).body

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
        doing = self._doing("write", blob)
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "x-ms-blob-content-type": content_type,
            "Content-Type": "application/octet-stream",
            **_lease(lease_id),
            **_metadata(doing, metadata or {}),
        }
        if only_if_new:
            headers["If-None-Match"] = "*"
        elif if_match is not None:
            headers["If-Match"] = if_match
        answer = await self._service.ask(doing, "PUT", self._blob(blob), headers=headers, body=content)
        return BlobProperties(
            name=blob,
            size=len(content),
            etag=answer.headers["ETag"],
            last_modified=parse_http_date(answer.headers["Last-Modified"]),
            content_type=content_type,
            metadata=dict(metadata or {}),
            lease_state=LeaseState.LEASED if lease_id else LeaseState.AVAILABLE,
        )

    async def delete(self, blob: str, *, lease_id: str | None = None) -> bool:
        try:
            await self._service.ask(self._doing("delete", blob), "DELETE", self._blob(blob), headers=_lease(lease_id))
        except NotFound as error:
            if error.code == "ContainerNotFound":
                raise
            return False
        return True

    def lease(self, blob: str | None = None) -> RestLease:
        if blob is None:
            return RestLease(self._service, self._path, _CONTAINER, f"container {self.name}")
        return RestLease(self._service, self._blob(blob), (), f"blob {blob} of container {self.name}")

    def url(self, blob: str) -> str:
        return self._service.endpoint + self._blob(blob)

    def _blob(self, blob: str) -> str:
        return f"{self._path}/" + "/".join(escaped(segment) for segment in blob.split("/"))

    def _doing(self, verb: str, blob: str) -> str:
        return f"{verb} blob {blob} of container {self.name}"


class RestLease:
    """See storage.api.Lease."""

    def __init__(self, service: Service, path: str, query: tuple[tuple[str, str], ...], target: str) -> None:
        self._service = service
        self._path = path
        self._query = (*query, ("comp", "lease"))
        self._target = target

    async def acquire(self, lease_id: str, *, duration: timedelta | None) -> None:
        seconds = -1 if duration is None else int(duration.total_seconds())
        await self._act("acquire", {"x-ms-lease-duration": str(seconds), "x-ms-proposed-lease-id": lease_id})

    async def renew(self, lease_id: str) -> None:
        await self._act("renew", _lease(lease_id))

    async def change(self, lease_id: str, *, new_lease_id: str) -> None:
        await self._act("change", {**_lease(lease_id), "x-ms-proposed-lease-id": new_lease_id})

    async def release(self, lease_id: str) -> None:
        await self._act("release", _lease(lease_id))

    async def break_(self, *, after: timedelta | None = None) -> None:
        await self._act("break", {} if after is None else {"x-ms-lease-break-period": str(int(after.total_seconds()))})

    async def _act(self, action: str, headers: Mapping[str, str]) -> None:
        await self._service.ask(
            f"{action} the lease of {self._target}",
            "PUT",
            self._path,
            query=self._query,
            headers={"x-ms-lease-action": action, **headers},
        )


def _lease(lease_id: str | None) -> dict[str, str]:
    return {} if lease_id is None else {"x-ms-lease-id": lease_id}


def _metadata(doing: str, metadata: Mapping[str, str]) -> dict[str, str]:
    for name, value in metadata.items():
        if not _IDENTIFIER.fullmatch(name):
            raise invalid(doing, "InvalidMetadata", f"{name!r} cannot be a metadata name: it is not a C# identifier.")
        if not value.isascii():
            raise invalid(doing, "InvalidMetadata", f"The metadata {name!r} has a value that is not ASCII.")
    # The server cuts the blanks around a header's value off, and checks the signature without them.
    return {_METADATA + name: value.strip(" \t") for name, value in metadata.items()}


def _described(name: str, answer: Answer) -> BlobProperties:
    headers = answer.headers
    created = headers.get("x-ms-creation-time")
    md5 = headers.get("Content-MD5")
    return BlobProperties(
        name=name,
        size=int(headers["Content-Length"]),
        etag=headers["ETag"],
        last_modified=parse_http_date(headers["Last-Modified"]),
        content_type=headers.get("Content-Type", ""),
        metadata={
            header[len(_METADATA) :]: value for header, value in headers.items() if header.lower().startswith(_METADATA)
        },
        lease_state=LeaseState(headers.get("x-ms-lease-state", "available")),
        created_at=parse_http_date(created) if created else None,
        content_md5=base64.b64decode(md5) if md5 else None,
    )


def _listed(blob: Element) -> BlobProperties:
    properties = blob.find("Properties")
    assert properties is not None  # every Blob of a listing has them
    created, md5 = text_of(properties, "Creation-Time"), text_of(properties, "Content-MD5")
    etag = text_of(properties, "Etag")
    return BlobProperties(
        name=text_of(blob, "Name"),
        size=int(text_of(properties, "Content-Length")),
        # A listing has ETags without the quotes that headers have.
        etag=etag if etag.startswith('"') else f'"{etag}"',
        last_modified=parse_http_date(text_of(properties, "Last-Modified")),
        content_type=text_of(properties, "Content-Type"),
        metadata={item.tag: item.text or "" for item in blob.iterfind("Metadata/*")},
        lease_state=LeaseState(text_of(properties, "LeaseState") or "available"),
        created_at=parse_http_date(created) if created else None,
        content_md5=base64.b64decode(md5) if md5 else None,
    )
