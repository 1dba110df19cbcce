"""Blob containers of the page Storage: lists of blobs, previews and downloads."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from emulator.dashboard.api.storage_accounts import MAX_PAGE, PAGE, account_of, first_names
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, number_of, utc_text
from emulator.errors import EmulatorError
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall
from emulator.logs import get_logger

_log = get_logger(__name__)

_PREVIEW_BYTES: Final = 64 * 1024
# A blob is downloaded in parts of this size, so that it never is in memory as a whole.
_DOWNLOAD_BYTES: Final = 4 * 1024 * 1024


class Blobs:
    """Endpoints of containers: lists, blobs, and their content."""

    def __init__(self, parts: DashboardParts) -> None:
        self._parts = parts

    async def containers(self, call: HttpCall) -> web.Response:
        account, _ = account_of(self._parts, call)
        names, is_complete = await first_names(account.containers())
        return json_response({"containers": [{"name": name} for name in names], "isComplete": is_complete})

    async def list(self, call: HttpCall) -> web.Response:
        """Return blobs in ordinal order. `prefix`: of their names; `limit`; `after`: the last name so far."""
        account, _ = account_of(self._parts, call)
        query = call.request.query
        limit, after = max(number_of(call, "limit", PAGE, highest=MAX_PAGE), 1), query.get("after", "")
        found: list[Mapping[str, Any]] = []
        is_complete = True
        async for blob in account.container(call.values["name"]).list(query.get("prefix", "")):
            # Storage lists from the beginning only; its markers are not part of the port.
            if blob.name <= after:
                continue
            if len(found) == limit:
                is_complete = False
                break
            found.append(
                {
                    "name": blob.name,
                    "size": blob.size,
                    "contentType": blob.content_type,
                    "lastModified": utc_text(blob.last_modified),
                    "lease": blob.lease_state.value,
                }
            )
        return json_response({"blobs": found, "isComplete": is_complete})

    async def preview(self, call: HttpCall) -> web.Response:
        """Return the properties of the blob `name` and the beginning of its content, if that is text."""
        account, _ = account_of(self._parts, call)
        container, name = account.container(call.values["name"]), _blob_name(call)
        properties = await container.properties(name)
        content = b""
        # The service refuses a range of an empty blob.
        if properties.size:
            content = (await container.read_range(name, 0, _PREVIEW_BYTES)).content
        return json_response(
            {
                "name": name,
                "size": properties.size,
                "contentType": properties.content_type,
                "lastModified": utc_text(properties.last_modified),
                "etag": properties.etag,
                "metadata": dict(properties.metadata),
                "lease": properties.lease_state.value,
                "text": _text_of(content),
                "isComplete": len(content) == properties.size,
            }
        )

    async def download(self, call: HttpCall) -> web.StreamResponse:
        account, _ = account_of(self._parts, call)
        container, name = account.container(call.values["name"]), _blob_name(call)
        properties = await container.properties(name)
        response = web.StreamResponse(
            headers={
                # Never as what it claims to be: a page among the blobs must not run as a page of this host.
                "Content-Type": "application/octet-stream",
                "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2], safe='')}",
                "X-Content-Type-Options": "nosniff",
                "Content-Length": str(properties.size),
            }
        )
        await response.prepare(call.request)
        try:
            for offset in range(0, properties.size, _DOWNLOAD_BYTES):
                # With the ETag, because parts of two versions must not become one file.
                part = await container.read_range(name, offset, _DOWNLOAD_BYTES, if_match=properties.etag)
                await response.write(part.content)
            await response.write_eof()
        except ConnectionError:
            pass  # The client has cancelled the download.
        except EmulatorError as error:
            # The status has been sent. Only the end of the connection tells the client that the content is not whole.
            _log.warning("The download of the blob %s/%s has ended early: %s", container.name, name, error)
            if call.request.transport is not None:
                call.request.transport.abort()
        return response


def _blob_name(call: HttpCall) -> str:
    name = call.request.query.get("name")
    if not name:
        raise ApiError(400, "The parameter name must be the name of a blob.")
    return name


def _text_of(content: bytes) -> str | None:
    """Return the content as text; None if it is not text in UTF-8."""
    # The last character may be cut.
    for end in islice(range(len(content), -1, -1), 4):
        with suppress(UnicodeDecodeError):
            text = content[:end].decode()
            return None if "\0" in text else text
    return None
