"""App settings of local.settings.json and the environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from emulator.config.settings import (
    HostSection,
    LoadedSettings,
    Settings,
    SettingUnresolved,
    find_project_root,
    load_settings,
)
from emulator.errors import ConfigurationError

Load = Callable[..., LoadedSettings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load(content: Any, environ: Mapping[str, str] | None = None, **overrides: str) -> LoadedSettings:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "local.settings.json").write_text(text, encoding="utf-8")
        return load_settings(tmp_path, environ or {}, overrides=overrides)

    return load


def test_values_become_settings_and_are_exported(load: Load) -> None:
    loaded = load({"IsEncrypted": False, "Values": {"MyKey": "v", "Empty": ""}})
    assert loaded.settings["mykey"] == "v"
    assert dict(loaded.settings.exported) == {"MyKey": "v", "Empty": ""}
    assert loaded.warnings == ()


def test_missing_file_is_no_error(tmp_path: Path) -> None:
    loaded = load_settings(tmp_path, {"PATH": "/bin"}, overrides={})
    assert loaded.settings["path"] == "/bin"
    assert (loaded.host, loaded.warnings, dict(loaded.settings.exported)) == (HostSection(), (), {})


def test_comments_trailing_commas_and_a_byte_order_mark_are_allowed(load: Load) -> None:
    loaded = load('\ufeff{ "IsEncrypted": false, // plain\n "Values": { "A": "1", }, }')
    assert loaded.settings["A"] == "1"


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (1.5, "1.5"), (True, "True"), (False, "False"), (12345678901, "12345678901")]
)
def test_numbers_and_booleans_become_text(load: Load, value: object, text: str) -> None:
    assert load({"IsEncrypted": False, "Values": {"N": value}}).settings["N"] == text


def test_environment_wins_with_a_warning(load: Load) -> None:
    loaded = load({"IsEncrypted": False, "Values": {"K": "file", "Same": "x"}}, {"K": "env", "Same": "x"})
    assert loaded.settings["K"] == "env"
    assert dict(loaded.settings.exported) == {}
    assert loaded.warnings == (
        "Skipping 'K' from local settings as it's already defined in current environment variables.",
    )


def test_overrides_win_and_are_exported(load: Load) -> None:
    loaded = load({"IsEncrypted": False, "Values": {"K": "file"}}, {"k": "env"}, K="asked")
    assert loaded.settings["k"] == "asked"
    assert dict(loaded.settings.exported) == {"K": "asked"}
    assert loaded.warnings == ()


def test_null_values_and_empty_keys_are_skipped(load: Load) -> None:
    loaded = load({"IsEncrypted": False, "Values": {"Nothing": None, "": "x"}})
    assert "Nothing" not in loaded.settings
    assert loaded.warnings == (
        "Skipping 'Nothing' because value is null",
        "Skipping local setting with empty key.",
    )


@pytest.mark.parametrize(("name", "value"), [("A=B", "x"), ("A", "x\0"), ("A\0", "x"), ("A", "\ud800")])
def test_values_that_no_variable_can_have_are_skipped(load: Load, name: str, value: str) -> None:
    loaded = load(json.dumps({"IsEncrypted": False, "Values": {name: value, "Other": "é"}}))
    assert dict(loaded.settings.exported) == {"Other": "é"}
    [warning] = loaded.warnings
    assert warning.startswith(f"Skipping {json.dumps(name)}: an environment variable cannot have this name or value")


def test_connection_strings(load: Load) -> None:
    section = {"Db": "Server=a", "Db2": {"ConnectionString": "Server=b", "ProviderName": "System.Data.SqlClient"}}
    loaded = load({"IsEncrypted": False, "ConnectionStrings": section})
    assert dict(loaded.settings.exported) == {"ConnectionStrings:Db": "Server=a", "ConnectionStrings:Db2": "Server=b"}
    assert loaded.settings["connectionstrings__db2"] == "Server=b"


@pytest.mark.parametrize("encrypted", [True, "true"])
def test_encrypted_settings_are_refused(load: Load, tmp_path: Path, encrypted: object) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load({"IsEncrypted": encrypted, "Values": {"K": "AQAAANCMnd8"}})
    assert str(raised.value) == (
        "Failed to decrypt settings. Encrypted settings only be edited through 'func settings add'. "
        f"'{tmp_path / 'local.settings.json'}' has \"IsEncrypted\": true, so only the Windows account that wrote it "
        "can read it. Run 'func settings decrypt' there, or write plain values and \"IsEncrypted\": false."
    )


def test_missing_is_encrypted_is_a_warning(load: Load, tmp_path: Path) -> None:
    loaded = load({"Values": {"K": "v"}})
    assert loaded.settings["K"] == "v"
    assert loaded.warnings == (
        f"'{tmp_path / 'local.settings.json'}' has no \"IsEncrypted\": false. Its values are read as plain text; "
        "add it, because Core Tools cannot read the file without it.",
    )


def test_duplicate_setting_is_a_warning(load: Load, tmp_path: Path) -> None:
    loaded = load('{"IsEncrypted": false, "Values": {"A": "1", "A": "2"}}')
    assert loaded.settings["A"] == "2"
    assert loaded.warnings == (
        f"'{tmp_path / 'local.settings.json'}' contains \"A\" twice in one object; the last value is used.",
    )


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        ("{", "Line 1, column 2: Expecting property name enclosed in double quotes."),
        ('{\n "Values": {\n  "A": "1"\n  "B": "2"}}', "Line 4, column 3: Expecting ',' delimiter."),
        ("[]", "It contains an array, not an object."),
        ('{"Values": []}', 'Line 1: "Values" is an array; allowed: an object.'),
        ('{"IsEncrypted": false,\n"Values":\n{"A": {"b": 1}}}', 'Line 3: "Values.A" is an object; allowed: a string.'),
        ('{"IsEncrypted": false, "Values": {"A": [1]}}', 'Line 1: "Values.A" is an array; allowed: a string.'),
        ("{\0}\0", "The file contains NUL characters; it is probably UTF-16. Save it as UTF-8."),
    ],
)
def test_invalid_file_is_an_error(load: Load, tmp_path: Path, content: str, detail: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(content)
    assert str(raised.value) == (
        f"Failed to read app settings file at '{tmp_path / 'local.settings.json'}'. Ensure it is a valid JSON file. "
        f"{detail} Correct the file, or rename it to start without it."
    )


def test_host_section(load: Load) -> None:
    loaded = load(
        {"Host": {"LocalHttpPort": 7075, "LocalHttpAddress": "0.0.0.0", "CORS": "http://a", "CORSCredentials": True}}
    )
    assert loaded.host == HostSection(port=7075, address="0.0.0.0", cors="http://a", cors_credentials=True)


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ({"LocalHttpPort": "many"}, 'Host.LocalHttpPort is "many"; allowed: 0 to 65535.'),
        ({"LocalHttpPort": 70000}, "Host.LocalHttpPort is 70000; allowed: 0 to 65535."),
        ({"CORSCredentials": "yes"}, 'Host.CORSCredentials is "yes"; allowed: true or false.'),
    ],
)
def test_invalid_host_section_is_an_error(load: Load, tmp_path: Path, host: object, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load({"Host": host})
    assert str(raised.value) == f"{tmp_path / 'local.settings.json'}: {message}"


def test_reserved_setting_is_a_warning(load: Load) -> None:
    [warning] = load({"IsEncrypted": False, "Values": {"CONTAINER_NAME": "c"}}).warnings
    assert warning.startswith("CONTAINER_NAME is a reserved environment variable")


def test_key_vault_reference_is_not_resolved_with_a_warning(load: Load) -> None:
    reference = "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s)"
    loaded = load({"IsEncrypted": False, "Values": {"Secret": reference}})
    assert loaded.settings["Secret"] == reference
    assert loaded.warnings == (
        "The setting 'Secret' is a Key Vault reference, which azemu does not resolve: the app gets the text of the "
        "reference. For local runs, put the value itself into local.settings.json.",
    )


SETTINGS = Settings({"Queue": "orders", "Deep__Down": "x", "On": "1", "Also": "TRUE", "Off": "yes", "Blank": ""})


@pytest.mark.parametrize("name", ["Queue", "QUEUE", "queue"])
def test_names_ignore_case(name: str) -> None:
    assert SETTINGS[name] == "orders"
    assert name in SETTINGS


@pytest.mark.parametrize("name", ["deep__down", "Deep:Down", "DEEP__down"])
def test_two_underscores_are_a_colon(name: str) -> None:
    assert SETTINGS.get(name) == "x"


def test_children_of_a_section() -> None:
    settings = Settings({"My__accountName": "a", "my:credential": "managedidentity", "Mya": "no", "My": "own"})
    assert settings.children("MY") == {"accountname": "a", "credential": "managedidentity"}


@pytest.mark.parametrize(("name", "on"), [("On", True), ("Also", True), ("Off", False), ("Absent", False)])
def test_flags(name: str, on: bool) -> None:
    assert SETTINGS.flag(name) is on


def test_missing_flag_is_false() -> None:
    assert SETTINGS.flag("Absent") is False


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("%Queue%", "orders"),
        ("%queue%-%deep:down%/{name}", "orders-x/{name}"),
        ("%deep__down%", "x"),
        ("", ""),
    ],
)
def test_expand(text: str, expanded: str) -> None:
    assert SETTINGS.expand(text) == expanded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%Missing%", "'%Missing%' does not resolve to a value."),
        ("a%Blank%b", "'%Blank%' does not resolve to a value."),
        ("%%", "'%%' does not resolve to a value."),
        ("50%", "The '%' at position 2 does not have a closing '%'"),
        ("%Queue%-%x", "The '%' at position 8 does not have a closing '%'"),
    ],
)
def test_expand_of_unknown_names_is_an_error(text: str, message: str) -> None:
    with pytest.raises(SettingUnresolved) as raised:
        SETTINGS.expand(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("%Queue%Hub", "ordersHub"), ("%Missing%Hub", "%Missing%Hub"), ("%a%Queue%", "%aorders"), ("100%", "100%")],
)
def test_expand_known_keeps_unknown_names(text: str, expanded: str) -> None:
    assert SETTINGS.expand_known(text) == expanded


def test_with_values_keeps_other_settings() -> None:
    settings = Settings({"A": "1", "b": "2"}, exported={"A": "1"}).with_values({"B": "3"})
    assert (settings["a"], settings["b"]) == ("1", "3")
    assert dict(settings.exported) == {"A": "1", "B": "3"}


@pytest.mark.parametrize("marker", ["host.json", "local.settings.json"])
def test_project_root_is_the_nearest_folder_above(tmp_path: Path, marker: str) -> None:
    (tmp_path / marker).write_text("{}")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_project_root(below) == tmp_path


def test_function_app_without_host_json_is_a_project(tmp_path: Path) -> None:
    (tmp_path / "function_app.py").write_text("")
    assert find_project_root(tmp_path) == tmp_path


def test_function_folders_without_host_json_are_a_project(tmp_path: Path) -> None:
    (tmp_path / "F").mkdir()
    (tmp_path / "F" / "function.json").write_text("{}")
    assert find_project_root(tmp_path) == tmp_path


def test_missing_project_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        find_project_root(tmp_path)
    assert str(raised.value) == (
        "Unable to find project root. Expecting to find one of host.json in project root. "
        f"Searched '{tmp_path}' and the folders above it. Pass the folder of the app with --app DIR."
    )


def test_missing_project_names_the_apps_below(tmp_path: Path) -> None:
    for folder in ("orders", "services/bills", "node_modules/x", ".git/y"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "host.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"--app DIR\. Below it are apps in: orders, services/bills\.$"):
        find_project_root(tmp_path)


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        find_project_root(tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes")
@pytest.mark.parametrize("mode", [0o000, 0o644])
def test_an_app_folder_without_access_is_named(mode: int) -> None:
    folder = Path(tempfile.mkdtemp())
    (folder / "host.json").write_text("{}")
    folder.chmod(mode)
    try:
        if sys.platform != "win32" and os.getuid() == 0:  # Root may read everything.
            os.seteuid(65534)
        with pytest.raises(ConfigurationError, match=re.escape(f"The app folder '{folder}' cannot be searched")):
            find_project_root(folder)
    finally:
        if sys.platform != "win32" and os.getuid() == 0:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)
