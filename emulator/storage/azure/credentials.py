"""Credentials of a storage connection as objects of the Azure SDKs."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

from emulator.config.connections import Identity, SasToken, SharedKey, StorageConnection

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


def open_identity(settings: Mapping[str, str]) -> Any:
    """Return a credential of azure-identity (an async context manager), chosen as by the Functions host.

    Source: azure-sdk-for-net, Microsoft.Extensions.Azure, ClientFactory.CreateCredential.
    """
    # The package is optional. That it is installed was checked when the connection was read.
    aio: Any = importlib.import_module("azure.identity.aio")
    client_id, tenant_id = settings.get("clientid"), settings.get("tenantid")
    if settings.get("credential", "").lower() == "managedidentity":
        # An identity is named by its client or by its resource.
        resource_id = settings.get("managedidentityresourceid")
        identity_config = {"resource_id": resource_id} if resource_id else None
        return aio.ManagedIdentityCredential(client_id=client_id, identity_config=identity_config)
    # A secret before a certificate, and both only with client and tenant: the order of ClientFactory.
    if client_id and tenant_id and (secret := settings.get("clientsecret")):
        return aio.ClientSecretCredential(tenant_id, client_id, secret)
    if client_id and tenant_id and (certificate := settings.get("certificate")):
        return aio.CertificateCredential(tenant_id, client_id, certificate)
    return aio.DefaultAzureCredential(managed_identity_client_id=client_id)
