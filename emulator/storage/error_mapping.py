"""Mapping of HTTP statuses and error codes of the storage services to the errors of `storage.port`.

Source: the error code lists of the Azure Storage REST reference (common, queue, table, blob), and what Azurite returns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from emulator.errors import EmulatorError
from emulator.storage.port import (
    MAX_BATCH_OPERATIONS,
    AlreadyExists,
    InvalidRequest,
    NotFound,
    PopReceiptMismatch,
    PreconditionFailed,
    StorageError,
    StorageUnreachable,
    TableOperation,
)

# Statuses that callers handle differently. Others, such as 401 and 403, are a plain StorageError.
_BY_STATUS: dict[int, type[StorageError]] = {
    400: InvalidRequest,
    404: NotFound,
    409: AlreadyExists,
    412: PreconditionFailed,
    413: InvalidRequest,
    414: InvalidRequest,
}

_NOT_IN_URL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

_HINTS = {
    401: " The account needs credentials: check the connection string.",
    # The date in the request is signed. The service refuses one that is more than 15 minutes off with 403, too.
    403: " Check AccountName and AccountKey (or the SAS token and its expiry) of the connection string, "
    "and that this machine's clock is right.",
}


def service_error(
    action: str, *, status: int, code: str, detail: str, failed_index: int | None = None
) -> EmulatorError:
    """Return the error for a response that is not a success.

    `action` completes "Storage refused to …", for example "put a message into queue orders". `code`: Azure's error
    code. `failed_index`: in a table transaction, the operation that failed.
    """
    message = f"Storage refused to {action}: {status} {code}: {detail}{_HINTS.get(status, '')}"
    # A 5xx remains after all retries. It does not say whether the operation happened, so it is not a refusal.
    if status >= 500:
        return StorageUnreachable(message)
    # A 400 like any invalid request, but callers handle it: another consumer may have the message now.
    kind = PopReceiptMismatch if code == "PopReceiptMismatch" else _BY_STATUS.get(status, StorageError)
    return kind(message, status=status, code=code, failed_index=failed_index)


def invalid_request(
    action: str, code: str, detail: str, *, status: int = 400, failed_index: int | None = None
) -> EmulatorError:
    """Return the error for a request that the service would refuse, without sending it."""
    return service_error(action, status=status, code=code, detail=detail, failed_index=failed_index)


def forbidden_in_blob_name(name: str) -> str | None:
    """Return what is wrong with the characters of a blob's name; None: nothing.

    Azurite takes control characters, and then refuses every listing of the container with status 500.
    """
    match = _NOT_IN_URL.search(name)
    if match is None:
        return None
    return (
        f"The name {name!a} has the character U+{ord(match[0]):04X} at position {match.start() + 1}. Names of blobs "
        "cannot have control characters, halves of surrogate pairs, U+FFFE or U+FFFF."
    )


def check_blob_name(action: str, name: str) -> None:
    """Raise the error for a blob's name with a character that it cannot have."""
    problem = forbidden_in_blob_name(name)
    if problem is not None:
        raise invalid_request(action, "InvalidUri", problem)


def check_transaction(action: str, operations: Sequence[TableOperation]) -> None:
    """Raise the error for a table transaction that is too long or has rows of several partitions."""
    if len(operations) > MAX_BATCH_OPERATIONS:
        raise invalid_request(
            action, "InvalidInput", f"A transaction can have at most {MAX_BATCH_OPERATIONS} operations."
        )
    for index, operation in enumerate(operations):
        if operation.row.partition_key != operations[0].row.partition_key:
            raise invalid_request(
                action,
                "CommandsInBatchActOnDifferentPartitions",
                "All rows of a transaction must be in one partition.",
                failed_index=index,
            )


def no_response(action: str, endpoint: str, reason: str) -> str:
    """Return the message for a request without a response."""
    return (
        f"Storage at {endpoint} does not answer (tried to {action}: {reason}). "
        "Is it running, and is the connection string right? For local work start Azurite, or let azemu start it with "
        '"AzureWebJobsStorage": "UseDevelopmentStorage=true" in local.settings.json.'
    )
