"""Rules for the names of queues, tables, containers and blobs.

Source: Azure Storage REST reference, "Naming Queues and Metadata", "Understanding the Table Service Data Model",
"Naming and Referencing Containers, Blobs, and Metadata".
"""

from __future__ import annotations

import re
from functools import lru_cache

from emulator.storage.builtin.database import Refused
from emulator.storage.error_mapping import forbidden_in_blob_name

# Lower case, digits and single hyphens between them.
_DNS = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9]{2,62}")
_SPECIAL_CONTAINERS = frozenset({"$root", "$web", "$logs"})
# C# allows letters of all scripts, so this pattern is not ASCII.
_IDENTIFIER = re.compile(r"[^\W\d]\w*")

_BAD_NAME = "The specified resource name contains invalid characters."
_BAD_LENGTH = "The specified resource name length is not within the permissible limits."


def check_queue_name(name: str) -> None:
    """Check for 3 to 63 lower-case letters, digits and single hyphens. Raises Refused."""
    if not 3 <= len(name) <= 63:
        raise Refused(400, "OutOfRangeInput", _BAD_LENGTH)
    if not _DNS.fullmatch(name):
        raise Refused(400, "InvalidResourceName", _BAD_NAME)


def check_container_name(name: str) -> None:
    """Check for a special container such as `$logs`, or a name that a queue may have. Raises Refused."""
    if name not in _SPECIAL_CONTAINERS:
        check_queue_name(name)


def check_table_name(name: str) -> None:
    """Check for 3 to 63 ASCII letters and digits that begin with a letter. Raises Refused."""
    if not 3 <= len(name) <= 63:
        raise Refused(400, "OutOfRangeInput", _BAD_LENGTH)
    # "Tables" is the resource of the service that lists tables.
    if not _TABLE.fullmatch(name) or name.lower() == "tables":
        raise Refused(400, "InvalidResourceName", _BAD_NAME)


def check_blob_name(name: str) -> None:
    """Check for 1 to 1024 characters that a URL may have, and at most 254 path segments. Raises Refused."""
    if not 1 <= len(name) <= 1024 or name.count("/") >= 254:
        raise Refused(400, "OutOfRangeInput", _BAD_LENGTH)
    problem = forbidden_in_blob_name(name)
    if problem is not None:
        raise Refused(400, "InvalidUri", problem)


# An app uses the same few names in every row.
@lru_cache(maxsize=4096)
def is_identifier(name: str) -> bool:
    """Return whether a name is a C# identifier, as names of properties and metadata must be."""
    return _IDENTIFIER.fullmatch(name) is not None
