"""Credentials of connections that use an identity of Microsoft Entra ID."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def open_identity(settings: Mapping[str, str]) -> Any:
    """Return a credential of azure-identity (an async context manager), chosen as by the Functions host.

    `settings`: the members of the connection by lower-case name. The package is optional: callers check that it is
    installed. Source: azure-sdk-for-net, Microsoft.Extensions.Azure, ClientFactory.CreateCredential.
    """
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
