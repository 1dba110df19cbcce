"""Paths of blob inputs and outputs: `container/name`, or the absolute URL of a blob.

Source: docs/protocol/functions-host.md 8.4; net-sdk, Storage.Blobs, BlobPath and BlobNameValidationAttribute.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from emulator.errors import EmulatorError
from emulator.worker.port import Binding, member_of

# Looser than the service: it also refuses two hyphens in a row, and reports that itself.
_CONTAINER_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]|\$root|\$logs", re.ASCII)
_MAX_BLOB_NAME: Final = 1024
_EXAMPLE: Final = 'Write the path as "container/name".'


class InvalidBlobPath(EmulatorError):
    """The path of a blob input or output cannot name a blob."""


def _invalid(path: str, reason: str) -> InvalidBlobPath:
    # The first two sentences are the Functions host's, which does not say what is wrong.
    return InvalidBlobPath(
        f"Validation failed for property 'BlobPath', value '{path}'. The field BlobPath is invalid. {reason}"
    )


@dataclass(frozen=True, slots=True)
class BlobPath:
    """Container and blob name. `blob` is empty for a path that names a container only."""

    container: str
    blob: str

    def require_blob(self) -> str:
        """Return the name of the blob. Raises InvalidBlobPath if the path names a container only."""
        if not self.blob:
            raise InvalidBlobPath(
                f"Invalid blob path specified : '{self.container}'. Blob identifiers must be in the format "
                f"'container/blob'. {_EXAMPLE}"
            )
        return self.blob


def parse_blob_path(path: str) -> BlobPath:
    """Parse a path without expressions. Raises InvalidBlobPath."""
    container, separator, blob = _split(path)
    if not container:
        raise _invalid(path, f"The container is missing. {_EXAMPLE}")
    _check_container(path, container)
    if separator and not blob:
        raise _invalid(path, f"The name of the blob is missing. {_EXAMPLE}")
    if "\\" in blob:
        raise _invalid(path, "The name of a blob cannot contain a backslash; folders are separated by slashes.")
    if len(blob) > _MAX_BLOB_NAME:
        raise _invalid(path, f"The name of a blob has at most {_MAX_BLOB_NAME} characters, this one {len(blob)}.")
    return BlobPath(container, blob)


def path_of(binding: Binding) -> str:
    """Return the path of a binding as the app writes it; an empty text if there is none."""
    return str(member_of(binding.properties, "path") or "")


def check_path(binding: Binding) -> None:
    """Check what can be known of a path before its expressions have values. Raises InvalidBlobPath."""
    path = path_of(binding)
    container, separator, _ = path.partition("/")
    if "{" not in path:
        parse_blob_path(path)
    # The Functions host finds this in every run, after it has rendered the name of the blob.
    elif separator and "{" not in container and not is_url(path):
        _check_container(path, container)


def _check_container(path: str, container: str) -> None:
    if _CONTAINER_NAME.fullmatch(container) is None:
        raise _invalid(
            path,
            f"'{container}' cannot be the name of a container: it has 3 to 63 characters, which are lower-case "
            "letters, digits and hyphens.",
        )


def _split(path: str) -> tuple[str, str, str]:
    """Return container, slash and blob name. Of a URL, account and query are ignored. Raises InvalidBlobPath."""
    if not is_url(path):
        return path.partition("/")
    try:
        url = urlsplit(path)
        host, port = url.hostname or "", url.port
    except ValueError as error:
        raise _invalid(path, f"it begins like a URL, but is none: {error}.") from None
    segments = unquote(url.path.lstrip("/"))
    if _has_account_in_path(host, port):
        _, _, segments = segments.partition("/")
    return segments.partition("/")


def is_url(path: str) -> bool:
    """Return whether a path is the absolute URL of a blob."""
    return path.lower().startswith(("http://", "https://"))


def _has_account_in_path(host: str, port: int | None) -> bool:
    """Whether a server has the account name in the path of its URLs, as Azurite, instead of in the host name."""
    if "." not in host or port in (10000, 10001, 10002):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
