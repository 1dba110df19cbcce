"""Connection names of an app's settings → storage accounts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from emulator.accounts import open_accounts
from emulator.clock import SystemClock
from emulator.config.connections import ConnectionNotConfigured
from emulator.config.settings import Settings
from emulator.errors import ConfigurationError

KEY = "a2V5"


async def test_connection_names_of_one_account_share_one_object(tmp_path: Path) -> None:
    builtin = f"builtin:{tmp_path / 'storage.db'}"
    settings = Settings(
        {
            "AzureWebJobsStorage": builtin,
            "Same": builtin,
            "ConnectionStrings:Listed": builtin,
            "WHICH": "Same",
            "Memory": " builtin:memory\n",
        }
    )
    async with open_accounts(settings, SystemClock()) as accounts:
        account = accounts("AzureWebJobsStorage")
        for name in ("", "Storage", "azurewebjobsstorage", "Same", "Listed", "%WHICH%"):
            assert accounts(name) is account
        assert accounts("Memory") is not account


async def test_accounts_over_the_network_are_opened_without_a_request() -> None:
    plain = f"AccountName=one;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:1/one"
    settings = Settings({"One": plain, "Again": plain, "Other": plain.replace("one", "two")})
    async with open_accounts(settings, SystemClock()) as accounts:
        assert accounts("One") is accounts("Again")
        assert accounts("One") is not accounts("Other")
        assert KEY not in accounts("One").description


async def test_a_setting_that_is_no_connection_is_reported_at_its_use() -> None:
    settings = Settings(
        {
            "Bus": "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=v",
            "Url": "https://example.com/?a=b",
            "Plain": "text",
            "Broken": "AccountName=x;AccountKey=not base64!",
        }
    )
    async with open_accounts(settings, SystemClock()) as accounts:
        for name in ("Bus", "Url", "Plain", "Broken"):
            with pytest.raises(ConfigurationError, match=name):
                accounts(name)
        with pytest.raises(ConnectionNotConfigured, match="AzureWebJobsMissing"):
            accounts("Missing")


@pytest.mark.parametrize(
    ("endpoints", "client"),
    [
        ("DefaultEndpointsProtocol=https", "emulator.storage.azure"),
        ("BlobEndpoint=http://127.0.0.1:1/one;QueueEndpoint=http://127.0.0.1:1/one", "emulator.storage.rest"),
        ("TableEndpoint=http://azurite:10002/one", "emulator.storage.rest"),
    ],
)
async def test_azure_is_reached_by_the_official_sdks_and_an_emulator_by_the_rest_client(
    endpoints: str, client: str
) -> None:
    settings = Settings({"Account": f"AccountName=one;AccountKey={KEY};{endpoints}"})
    async with open_accounts(settings, SystemClock()) as accounts:
        assert type(accounts("Account")).__module__.startswith(f"{client}.")


async def test_no_token_is_sent_over_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    # Whether azure-identity is installed is not what this is about.
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: found(name.partition(".")[0], *rest))
    settings = Settings({"Orders__queueServiceUri": "http://127.0.0.1:1/acct", "Orders__credential": "managedidentity"})
    async with open_accounts(settings, SystemClock()) as accounts:
        with pytest.raises(ConfigurationError, match=r"'Orders'.*http://127\.0\.0\.1:1/acct is plain http"):
            accounts("Orders").queue("q")
