"""Configuration of a host: precedence of command line, files and environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from emulator.config.connections import development_connection_string
from emulator.config.settings import Settings
from emulator.config.start import Configuration, Cors, StartOptions, configure, development_connections
from emulator.errors import ConfigurationError


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    return tmp_path


def write_settings(app: Path, *, host: Mapping[str, Any] | None = None, **values: str) -> None:
    content = {"IsEncrypted": False, "Values": values, "Host": host or {}}
    (app / "local.settings.json").write_text(json.dumps(content))


def configured(app: Path, environ: Mapping[str, str] | None = None, **options: Any) -> Configuration:
    return configure(StartOptions(app=app, **options), environ or {})


def test_defaults(app: Path) -> None:
    configuration = configured(app)
    assert (configuration.address, configuration.port) == ("localhost", 7071)
    assert configuration.cors is None
    assert configuration.enable_auth is False
    assert configuration.host.functions is None
    assert configuration.warnings == ()


def test_host_section_of_local_settings_replaces_defaults(app: Path) -> None:
    write_settings(app, host={"LocalHttpPort": 7500, "LocalHttpAddress": "0.0.0.0", "CORS": "http://a/, http://b"})
    configuration = configured(app)
    assert (configuration.address, configuration.port) == ("0.0.0.0", 7500)
    assert configuration.cors == Cors(origins=("http://a", "http://b"), credentials=False)


def test_command_line_wins_over_local_settings(app: Path) -> None:
    write_settings(app, host={"LocalHttpPort": 7500, "CORS": "http://a", "CORSCredentials": False})
    configuration = configured(app, port=0, address="::1", cors="http://c", cors_credentials=True)
    assert (configuration.address, configuration.port) == ("::1", 0)
    assert configuration.cors == Cors(origins=("http://c",), credentials=True)


def test_functions_option_replaces_the_list_of_host_json(app: Path) -> None:
    (app / "host.json").write_text('{"version": "2.0", "functions": ["a"]}')
    assert configured(app).host.functions == ("a",)
    assert configured(app, functions=["b", "c"]).host.functions == ("b", "c")


@pytest.mark.parametrize("address", ["x", "127.0.0", "example.com"])
def test_invalid_address_is_an_error(app: Path, address: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        configured(app, address=address)
    assert str(raised.value) == (
        f"Invalid --address value '{address}'. Expected an IP address, for example 127.0.0.1 or 0.0.0.0."
    )


def test_localhost_is_allowed_as_address(app: Path) -> None:
    assert configured(app, address="localhost").address == "localhost"


def test_cors_credentials_for_all_origins_are_an_error(app: Path) -> None:
    with pytest.raises(ConfigurationError, match="credentials cannot be allowed for every origin"):
        configured(app, cors="*", cors_credentials=True)


def test_other_functions_environment_is_a_warning(app: Path) -> None:
    write_settings(app, AZURE_FUNCTIONS_ENVIRONMENT="Production")
    configuration = configured(app)
    assert configuration.warnings == (
        "AZURE_FUNCTIONS_ENVIRONMENT already exists with value 'Production', overriding to 'Development'.",
    )
    assert configuration.environment(7071)["AZURE_FUNCTIONS_ENVIRONMENT"] == "Development"


def test_other_worker_runtime_is_a_warning(app: Path) -> None:
    write_settings(app, FUNCTIONS_WORKER_RUNTIME="node")
    assert configured(app).warnings == (
        "FUNCTIONS_WORKER_RUNTIME is 'node', but azemu runs Python apps: set it to 'python'.",
    )


def test_environment_of_user_code(app: Path) -> None:
    write_settings(app, MyKey="v", PYTHON_ENABLE_DEBUG_LOGGING="0")
    assert configured(app, {"PATH": "/bin"}).environment(7075) == {
        "MyKey": "v",
        "PYTHON_ENABLE_DEBUG_LOGGING": "0",
        "AzureWebJobsScriptRoot": str(app),
        "WEBSITE_HOSTNAME": "localhost:7075",
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "FUNCTIONS_CORETOOLS_ENVIRONMENT": "true",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "FUNCTIONS_WORKER_RUNTIME_VERSION": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


@pytest.mark.parametrize(
    ("storage", "value"),
    [
        ("azurite", "UseDevelopmentStorage=true"),
        ("builtin:memory", "builtin:memory"),
        ("AccountName=a;AccountKey=YQ==", "AccountName=a;AccountKey=YQ=="),
    ],
)
def test_storage_option_replaces_development_connections(app: Path, storage: str, value: str) -> None:
    write_settings(
        app, AzureWebJobsStorage="AccountName=real;AccountKey=YQ==", Orders="UseDevelopmentStorage=true", Other="x"
    )
    settings = configured(app, storage=storage).settings
    assert (settings["AzureWebJobsStorage"], settings["Orders"], settings["Other"]) == (value, value, "x")
    assert settings.exported["Orders"] == value


@pytest.mark.parametrize(
    ("storage", "path"), [("builtin", ".azemu/storage.db"), ("builtin:data/hub.db", "data/hub.db")]
)
def test_builtin_storage_option_is_relative_to_the_app_folder(app: Path, storage: str, path: str) -> None:
    assert configured(app, storage=storage).settings["AzureWebJobsStorage"] == f"builtin:{app / path}"


def test_explicit_settings_win_over_the_storage_option(app: Path) -> None:
    settings = configured(app, storage="builtin:memory", settings={"AzureWebJobsStorage": "AccountName=x"}).settings
    assert settings["AzureWebJobsStorage"] == "AccountName=x"


def test_development_connections() -> None:
    settings = Settings(
        {
            "A": "UseDevelopmentStorage=true",
            "B": " usedevelopmentstorage=TRUE; ",
            "C": development_connection_string({"blob": 10000, "queue": 10001, "table": 10002}),
            "D": development_connection_string({"blob": 1, "queue": 2, "table": 3}),
            "E": "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://elsewhere",
            "F": "AccountName=acct;AccountKey=YQ==",
            "G": "devstoreaccount1",
        }
    )
    assert development_connections(settings) == ["A", "B", "C"]
