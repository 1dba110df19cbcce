"""Properties of a blob as .NET writes them: the trigger metadata `Properties`, and names for binding expressions.

Source: docs/protocol/functions-host.md 8.4 (Azure.Storage.Blobs.Models.BlobProperties, written by Newtonsoft.Json).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from emulator.storage.port import BlobProperties, LeaseState

# .NET writes enumerations as numbers.
_BLOB_TYPES: Final = {"BlockBlob": 0, "PageBlob": 1, "AppendBlob": 2}
_LEASE_STATES: Final = {
    LeaseState.AVAILABLE: 0,
    LeaseState.LEASED: 1,
    LeaseState.EXPIRED: 2,
    LeaseState.BREAKING: 3,
    LeaseState.BROKEN: 4,
}
_LOCKED, _UNLOCKED = 0, 1
_NO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)


def property_values(properties: BlobProperties) -> dict[str, Any]:
    """Return the members of .NET's BlobProperties in their order. Times are datetimes, the hash is bytes.

    Members that only Azure fills have the values of a blob without versions, tags and policies in the tier Hot.
    """
    locked = properties.lease_state in (LeaseState.LEASED, LeaseState.BREAKING)
    created_at = properties.created_at or properties.last_modified
    return {
        "LastModified": properties.last_modified,
        "CreatedOn": created_at,
        "Metadata": dict(properties.metadata),
        "ObjectReplicationDestinationPolicyId": None,
        "ObjectReplicationSourceProperties": None,
        "BlobType": _BLOB_TYPES.get(properties.blob_type, 0),
        "CopyCompletedOn": _NO_TIME,
        "CopyStatusDescription": None,
        "CopyId": None,
        "CopyProgress": None,
        "CopySource": None,
        "CopyStatus": 0,
        "BlobCopyStatus": None,
        "IsIncrementalCopy": False,
        "DestinationSnapshot": None,
        "LeaseDuration": 0,
        "LeaseState": _LEASE_STATES[properties.lease_state],
        "LeaseStatus": _LOCKED if locked else _UNLOCKED,
        "ContentLength": properties.size,
        "ContentType": properties.content_type,
        # A structure without public members: Newtonsoft writes an empty object.
        "ETag": {},
        "ContentHash": properties.content_md5,
        "ContentEncoding": properties.content_encoding,
        "ContentDisposition": properties.content_disposition,
        "ContentLanguage": properties.content_language,
        "CacheControl": properties.cache_control,
        "BlobSequenceNumber": 0,
        "AcceptRanges": "bytes",
        "BlobCommittedBlockCount": 0,
        "IsServerEncrypted": True,
        "EncryptionKeySha256": None,
        "EncryptionScope": None,
        "AccessTier": "Hot",
        "AccessTierInferred": True,
        "ArchiveStatus": None,
        "AccessTierChangedOn": created_at,
        "VersionId": None,
        "IsLatestVersion": False,
        "TagCount": 0,
        "ExpiresOn": _NO_TIME,
        "IsSealed": False,
        "RehydratePriority": None,
        "LastAccessed": _NO_TIME,
        "ImmutabilityPolicy": {"ExpiresOn": None, "PolicyMode": None},
        "HasLegalHold": False,
    }


def uri_values(uri: str) -> Mapping[str, Any]:
    """Return members of .NET's Uri that an expression such as `{uri.Host}` can name; the Uri itself has no text."""
    parts = urlsplit(uri)
    return {
        "AbsoluteUri": uri,
        "AbsolutePath": parts.path,
        "Scheme": parts.scheme,
        "Host": parts.hostname or "",
        "Port": parts.port,
    }


def json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same values as JSON has them: times with an offset, bytes as base64."""
    return {name: _json_value(value) for name, value in values.items()}


def _json_value(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return value
