"""Credentials of a storage connection as objects of the Azure SDKs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

from emulator.config.connections import Identity, SasToken, SharedKey, StorageConnection
from emulator.config.identity import open_identity

if TYPE_CHECKING:
    # At run time azure-core has it only since 1.20.
    from azure.core.credentials_async import AsyncTokenCredential

SdkCredential: TypeAlias = "AzureNamedKeyCredential | AzureSasCredential | AsyncTokenCredential"


@asynccontextmanager
async def open_credential(connection: StorageConnection) -> AsyncIterator[SdkCredential]:
    """Open the credential of a connection. A token credential holds connections of its own, which close at the end."""
    match connection.credential:
        case SharedKey(key):
            yield AzureNamedKeyCredential(connection.account, key)
        case SasToken(token):
            yield AzureSasCredential(token)
        case Identity(settings):
            async with open_identity(settings) as credential:
                yield credential
        case _ as unknown:
            assert_never(unknown)


def storage_credential(credential: SdkCredential) -> Any:
    """Return the credential in the form that all releases of azure-storage-blob and azure-storage-queue accept."""
    # They know AzureNamedKeyCredential only since 12.9 (blob) and 12.3 (queue).
    if isinstance(credential, AzureNamedKeyCredential):
        return {"account_name": credential.named_key.name, "account_key": credential.named_key.key}
    return credential
