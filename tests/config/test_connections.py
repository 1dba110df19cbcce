"""Storage connections: lookup by name, formats, endpoints and credentials."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from emulator.config.connections import (
    DEVELOPMENT_KEY,
    BuiltinConnection,
    ConnectionNotConfigured,
    Identity,
    SasToken,
    SharedKey,
    StorageConnection,
    development_connection_string,
    parse_connection,
    resolve_connection,
)
from emulator.config.settings import Settings, SettingUnresolved
from emulator.errors import ConfigurationError

KEY = "c2VjcmV0"
FULL = f"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={KEY};EndpointSuffix=core.windows.net"


def account(value: str, setting: str = "S") -> StorageConnection:
    connection = parse_connection(value, setting=setting)
    assert isinstance(connection, StorageConnection)
    return connection


def test_development_storage() -> None:
    connection = account("UseDevelopmentStorage=true")
    assert connection == StorageConnection(
        setting="S",
        account="devstoreaccount1",
        credential=SharedKey(DEVELOPMENT_KEY),
        blob="http://127.0.0.1:10000/devstoreaccount1",
        queue="http://127.0.0.1:10001/devstoreaccount1",
        table="http://127.0.0.1:10002/devstoreaccount1",
    )
    assert connection.is_development


def test_development_storage_behind_a_proxy() -> None:
    connection = account("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://storage.local")
    assert connection.queue == "http://storage.local:10001/devstoreaccount1"


def test_connection_string_with_account_and_key() -> None:
    connection = account(FULL)
    assert connection.blob == "https://acct.blob.core.windows.net"
    assert connection.queue == "https://acct.queue.core.windows.net"
    assert connection.table == "https://acct.table.core.windows.net"
    assert connection.credential == SharedKey(KEY)
    assert not connection.is_development


def test_endpoint_suffix_of_another_cloud() -> None:
    connection = account(f"AccountName=acct;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn")
    assert connection.table == "https://acct.table.core.chinacloudapi.cn"


def test_explicit_endpoints_win() -> None:
    connection = account(f"AccountName=acct;AccountKey={KEY};BlobEndpoint=http://localhost:1/acct/;")
    assert connection.blob == "http://localhost:1/acct"
    assert connection.queue == "https://acct.queue.core.windows.net"


def test_development_connection_string_with_other_ports() -> None:
    connection = account(development_connection_string({"blob": 1, "queue": 2, "table": 3}))
    assert connection.account == "devstoreaccount1"
    assert connection.table == "http://127.0.0.1:3/devstoreaccount1"


def test_shared_access_signature() -> None:
    connection = account("BlobEndpoint=https://acct.blob.core.windows.net/;SharedAccessSignature=?sv=1&sig=a%3D")
    assert connection.credential == SasToken("sv=1&sig=a%3D")
    assert (connection.account, connection.blob) == ("acct", "https://acct.blob.core.windows.net")
    assert connection.queue is None


def test_service_url_with_sas() -> None:
    connection = account("https://acct.queue.core.windows.net/?sv=1&sig=x")
    assert connection.queue == "https://acct.queue.core.windows.net"
    assert connection.credential == SasToken("sv=1&sig=x")
    assert connection.endpoint("blob") is None


@pytest.mark.parametrize(
    ("value", "path"),
    [("builtin:memory", None), ("BUILTIN:Memory", None), ("builtin:/data/hub.db", Path("/data/hub.db"))],
)
def test_builtin_store(value: str, path: Path | None) -> None:
    assert parse_connection(value, setting="S") == BuiltinConnection(setting="S", path=path)


def test_path_of_the_builtin_store_is_relative_to_the_app_folder(tmp_path: Path) -> None:
    settings = Settings({"AzureWebJobsStorage": "builtin:data/hub.db"}, root=tmp_path).with_values({"Other": "x"})
    assert resolve_connection(settings, "") == BuiltinConnection(
        setting="AzureWebJobsStorage", path=tmp_path / "data" / "hub.db"
    )


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("hello", "it is not a list of Name=value; pairs"),
        ("AccountKey=" + KEY, "it has neither AccountName nor an endpoint (BlobEndpoint, QueueEndpoint, …)"),
        ("AccountName=acct", "it has neither AccountKey nor SharedAccessSignature"),
        ("AccountName=acct;AccountKey=not base64!", "its AccountKey is not base64 text. Was it copied completely?"),
        ("AccountName=acct;AccountKey=abc", "its AccountKey is not base64 text. Was it copied completely?"),
        (f"BlobEndpoint=http://x;AccountKey={KEY}", "it has an AccountKey, but no AccountName"),
        (
            f"DefaultEndpointsProtocol=ftp;AccountName=a;AccountKey={KEY}",
            "DefaultEndpointsProtocol is neither http nor https",
        ),
        (f"AccountName=a;AccountKey={KEY};QueueEndpoint=x:1", "QueueEndpoint is not an http or https URL"),
        (f"AccountName=a;AccountKey={KEY};QueueEndpoint=http://", "QueueEndpoint is not an http or https URL"),
        (f"AccountName=a;AccountKey={KEY};BlobEndpoint=http://h:99999/a", "BlobEndpoint is not an http or https URL"),
        (f"AccountName=a;AccountKey={KEY};BlobEndpoint=http://[h", "BlobEndpoint is not an http or https URL"),
        ("https://[a.blob.x?sv", "a URL must be that of a blob, queue or table service and contain a SAS token"),
        (
            f"AcountName=a;AccountKey={KEY}",
            '"AcountName" is not part of a connection string. Did you mean AccountName?',
        ),
        (
            "UseDevelopmentStorag=true",
            '"UseDevelopmentStorag" is not part of a connection string. Did you mean UseDevelopmentStorage?',
        ),
        ("UseDevelopmentStorage=tru", "UseDevelopmentStorage is 'tru'; allowed: true"),
        ('"UseDevelopmentStorage=true"', "it begins with a quotation mark. Remove the quotation marks"),
        ("builtin", "the built-in store needs a file (builtin:PATH) or memory (builtin:memory)"),
        ("https://example.com/", "a URL must be that of a blob, queue or table service and contain a SAS token"),
        (
            "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=storage",
            "DevelopmentStorageProxyUri is not a URL like http://host",
        ),
    ],
)
def test_invalid_value_is_an_error_with_the_reason(value: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_connection(value, setting="MyStorage")
    end = "" if why.endswith("?") else "."
    assert str(raised.value) == (
        f"The storage connection in setting 'MyStorage' cannot be used: {why}{end} "
        "For a local Azurite, use UseDevelopmentStorage=true."
    )


def test_error_does_not_contain_the_key() -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse_connection("AccountName=acct;AccountKey=c2VjcmV0LXNlY3JldA", setting="S")
    assert "c2VjcmV0" not in str(raised.value)


@pytest.mark.parametrize("name", ["AzureWebJobsStorage", "Storage", ""])
def test_names_of_the_default_connection(name: str) -> None:
    settings = Settings({"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    assert resolve_connection(settings, name).setting == "AzureWebJobsStorage"


@pytest.mark.parametrize(
    ("defined", "found"),
    [
        (["X", "ConnectionStrings:X"], "ConnectionStrings:X"),
        (["X", "ConnectionStrings:X", "AzureWebJobsX"], "AzureWebJobsX"),
        (["X", "AzureWebJobsX", "ConnectionStrings:AzureWebJobsX"], "ConnectionStrings:AzureWebJobsX"),
        (["X"], "X"),
    ],
)
def test_lookup_order_of_settings(defined: list[str], found: str) -> None:
    settings = Settings(dict.fromkeys(defined, FULL))
    assert resolve_connection(settings, "X").setting == found


def test_setting_in_the_connection_name_is_expanded() -> None:
    settings = Settings({"WHICH": "Orders", "Orders": FULL})
    assert resolve_connection(settings, "%WHICH%").setting == "Orders"
    with pytest.raises(SettingUnresolved, match="'%OTHER%' does not resolve to a value"):
        resolve_connection(settings, "%OTHER%")


def test_missing_connection_is_an_error_with_the_setting() -> None:
    with pytest.raises(ConnectionNotConfigured) as raised:
        resolve_connection(Settings({}), "Orders")
    assert str(raised.value) == (
        "Storage account connection string 'AzureWebJobsOrders' does not exist. Make sure that it is a defined App "
        'Setting. Add "Orders" to "Values" in local.settings.json, for example with the value '
        '"UseDevelopmentStorage=true" for Azurite.'
    )


@pytest.mark.parametrize("name", ["", "Storage", "AzureWebJobsStorage"])
def test_missing_default_connection_suggests_azurite_and_builtin_store(name: str) -> None:
    with pytest.raises(ConnectionNotConfigured) as raised:
        resolve_connection(Settings({"AzureWebJobsStorage": ""}), name)
    assert str(raised.value) == (
        "Storage account connection string 'AzureWebJobsStorage' does not exist. Make sure that it is a defined App "
        'Setting. Add "AzureWebJobsStorage" to "Values" in local.settings.json, for example with the value '
        '"UseDevelopmentStorage=true" for Azurite, or start with --storage builtin, which needs no Azurite.'
    )


@pytest.fixture
def identity_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make azure-identity look installed, whether it is or not."""
    found = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> object:
        return found("json") if name == "azure.identity" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.usefixtures("identity_library")
def test_identity_with_account_name() -> None:
    settings = Settings({"Orders__accountName": "acct", "Orders__credential": "managedidentity"})
    connection = resolve_connection(settings, "Orders")
    assert isinstance(connection, StorageConnection)
    assert connection.queue == "https://acct.queue.core.windows.net"
    assert connection.credential == Identity({"accountname": "acct", "credential": "managedidentity"})


@pytest.mark.usefixtures("identity_library")
def test_identity_with_service_uris() -> None:
    settings = Settings({"Orders__blobServiceUri": "https://b/", "Orders__queueServiceUri": "https://q.queue.x"})
    connection = resolve_connection(settings, "Orders")
    assert isinstance(connection, StorageConnection)
    assert (connection.blob, connection.queue, connection.table) == ("https://b", "https://q.queue.x", None)


@pytest.mark.usefixtures("identity_library")
def test_connection_string_wins_over_identity() -> None:
    settings = Settings({"Orders": FULL, "Orders__accountName": "other"})
    connection = resolve_connection(settings, "Orders")
    assert isinstance(connection, StorageConnection)
    assert connection.account == "acct"


def test_identity_without_azure_identity_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package may be installed, because SDK types of azure-functions need it.
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "azure.identity" else found(name))
    with pytest.raises(ConfigurationError, match="pip install azure-identity"):
        resolve_connection(Settings({"Orders__accountName": "acct"}), "Orders")
