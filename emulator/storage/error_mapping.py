"""What an HTTP status and an error code of the storage service mean to callers of the port.

Facts: the error code lists of the REST reference (common, queue, table, blob), and what Azurite answers.
"""

from __future__ import annotations

from emulator.errors import EmulatorError
from emulator.storage.port import (
    AlreadyExists,
    InvalidRequest,
    NotFound,
    PopReceiptMismatch,
    PreconditionFailed,
    StorageError,
    StorageUnreachable,
)

_BY_STATUS: dict[int, type[StorageError]] = {
    400: InvalidRequest,
    404: NotFound,
    409: AlreadyExists,
    412: PreconditionFailed,
    413: InvalidRequest,
    414: InvalidRequest,
}

_HINTS = {
    401: " The account needs credentials: check the connection string.",
    403: " Check AccountName and AccountKey (or the SAS token and its expiry) of the connection string, "
    "and that this machine's clock is right.",
}


def refusal(doing: str, *, status: int, code: str, detail: str, failed_index: int | None = None) -> EmulatorError:
    """The error for an answer that is not a success. `doing`: "put a message into queue orders".

    A 5xx that outlasted the retries is no answer to the question that was asked: StorageUnreachable.
    """
    message = f"Storage refused to {doing}: {status} {code}: {detail}{_HINTS.get(status, '')}"
    if status >= 500:
        return StorageUnreachable(message)
    kind = PopReceiptMismatch if code == "PopReceiptMismatch" else _BY_STATUS.get(status, StorageError)
    return kind(message, status=status, code=code, failed_index=failed_index)


def invalid(doing: str, code: str, detail: str, *, status: int = 400, failed_index: int | None = None) -> EmulatorError:
    """A refusal that is known before the service is asked."""
    return refusal(doing, status=status, code=code, detail=detail, failed_index=failed_index)


def unreachable(doing: str, endpoint: str, reason: str) -> StorageUnreachable:
    return StorageUnreachable(
        f"Storage at {endpoint} does not answer (tried to {doing}: {reason}). "
        "Is it running, and is the connection string right? For local work start Azurite, or let azemu start it with "
        '"AzureWebJobsStorage": "UseDevelopmentStorage=true" in local.settings.json.'
    )
