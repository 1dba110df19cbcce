"""Access keys: format, secrets files and persistence."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import stat
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from emulator.host.http.keys.authorization import Authorizer, FunctionLevel
from emulator.host.http.keys.key_store import (
    HOST_FUNCTION_KEYS,
    HOST_SYSTEM_KEYS,
    MASTER,
    FileSecrets,
    KeyScope,
    KeyStore,
    SecretsNotSaved,
)
from emulator.host.http.keys.secret_format import (
    Key,
    KeyKind,
    SecretsUnreadable,
    generate_key,
    read_function_keys,
    read_host_secrets,
)
from emulator.virtual_time import VirtualClock, VirtualTimeLoop

ORIGIN = {"hostName": "localhost:7071", "instanceId": "i-1"}


def ring(folder: Path, clock: VirtualClock | None = None) -> KeyStore:
    return KeyStore(FileSecrets(folder), clock or VirtualClock(), ORIGIN)


@pytest.mark.parametrize("kind", KeyKind)
def test_a_generated_key_is_recognised_by_secret_scanners(kind: KeyKind) -> None:
    key = generate_key(kind)
    assert len(key) == 56
    assert key[44:48] == "AzFu"
    assert len(base64.urlsafe_b64decode(key)) == 40
    assert generate_key(kind) != key


def test_the_checksum_depends_on_the_kind_of_key() -> None:
    keys = {generate_key(kind, random_bytes=bytes) for kind in KeyKind}
    assert len({key[:48] for key in keys}) == 1
    assert len(keys) == len(KeyKind)


async def test_keys_are_generated_at_first_use_and_kept(tmp_path: Path) -> None:
    first = ring(tmp_path)
    host, own = await first.host_secrets(), await first.function_keys("Greet")
    system = await first.system_key("durabletask_extension")
    again = ring(tmp_path)
    assert (await again.host_secrets()).master == host.master
    assert await again.function_keys("greet") == own
    assert await again.system_key("durabletask_extension") == system


async def test_the_files_are_those_of_the_functions_host(tmp_path: Path) -> None:
    keys = ring(tmp_path)
    await keys.put(HOST_SYSTEM_KEYS, "durabletask_extension", "system-value")
    await keys.put(KeyScope(KeyKind.FUNCTION, "Greet"), "default", "own-value")
    host = json.loads((tmp_path / "host.json").read_text())
    assert host["masterKey"] == {"name": "master", "value": host["masterKey"]["value"], "encrypted": False}
    assert host["systemKeys"] == [{"name": "durabletask_extension", "value": "system-value", "encrypted": False}]
    assert [key["name"] for key in host["functionKeys"]] == ["default"]
    assert json.loads((tmp_path / "greet.json").read_text()) == {
        "keys": [{"name": "default", "value": "own-value", "encrypted": False}],
        **ORIGIN,
        "source": "runtime",
        "decryptionKeyId": "",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes")
async def test_only_the_user_can_read_the_files(tmp_path: Path) -> None:
    await ring(tmp_path / "secrets").host_secrets()
    assert stat.S_IMODE((tmp_path / "secrets" / "host.json").stat().st_mode) == 0o600


async def test_git_ignores_the_keys(tmp_path: Path) -> None:
    await ring(tmp_path / "secrets").host_secrets()
    assert (tmp_path / "secrets" / ".gitignore").read_text() == "*\n"


async def test_keys_are_added_replaced_and_deleted(tmp_path: Path) -> None:
    keys = ring(tmp_path)
    assert await keys.put(HOST_FUNCTION_KEYS, "ci", "one") == (Key("ci", "one"), True)
    assert await keys.put(HOST_FUNCTION_KEYS, "CI", "two") == (Key("CI", "two"), False)
    assert [key.value for key in await keys.keys(HOST_FUNCTION_KEYS) if key.name == "CI"] == ["two"]
    assert await keys.delete(HOST_FUNCTION_KEYS, "ci")
    assert not await keys.delete(HOST_FUNCTION_KEYS, "ci")
    assert [key.name for key in await ring(tmp_path).keys(HOST_FUNCTION_KEYS)] == ["default"]


async def test_the_master_key_can_be_renewed(tmp_path: Path) -> None:
    keys = ring(tmp_path)
    before = (await keys.host_secrets()).master
    renewed, is_new = await keys.put(HOST_SYSTEM_KEYS, MASTER)
    assert not is_new
    assert renewed.value != before.value
    assert (await ring(tmp_path).host_secrets()).master.value == renewed.value


@pytest.mark.parametrize("content", [b"{ broken", b"\xff\xfe{", b"[" * 50_000], ids=["broken", "no text", "deep"])
async def test_an_unreadable_file_is_renamed_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "host.json").write_bytes(content)
    await ring(tmp_path).host_secrets()
    assert (tmp_path / "host.unreadable").read_bytes() == content
    assert json.loads((tmp_path / "host.json").read_text())["masterKey"]["value"]
    assert "Their file is renamed, and new keys are generated." in caplog.text


async def test_a_folder_in_place_of_a_file_is_renamed_and_replaced(tmp_path: Path) -> None:
    (tmp_path / "host.json").mkdir()
    await ring(tmp_path).host_secrets()
    assert (tmp_path / "host.unreadable").is_dir()
    assert json.loads((tmp_path / "host.json").read_text())["masterKey"]["value"]


async def test_keys_are_kept_in_memory_if_the_folder_is_not_writable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "secrets").write_text("a file where the folder should be")
    keys = ring(tmp_path / "secrets")
    secrets = await keys.host_secrets()
    system = await keys.system_key("durabletask_extension")
    keys.drop_cache()
    assert (await keys.host_secrets()).master == secrets.master
    assert await keys.system_key("durabletask_extension") == system
    assert caplog.text.count("Access keys cannot be saved in") == 1


async def test_a_key_that_cannot_be_saved_is_not_set_or_deleted(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file where the folder should be")
    keys = ring(tmp_path / "secrets")
    before = await keys.host_secrets()
    for change in (keys.put(HOST_FUNCTION_KEYS, "ci"), keys.delete(HOST_FUNCTION_KEYS, "default")):
        with pytest.raises(SecretsNotSaved, match=r"cannot be saved in .*secrets"):
            await change
    assert await keys.host_secrets() == before


async def test_keys_stay_valid_when_their_folder_is_deleted(tmp_path: Path) -> None:
    """The host reads the files again after a request with a wrong key."""
    keys = ring(tmp_path / "secrets")
    host, own = await keys.host_secrets(), await keys.function_keys("Greet")
    shutil.rmtree(tmp_path / "secrets")
    keys.drop_cache()
    assert await keys.host_secrets() == host
    assert await keys.function_keys("Greet") == own
    assert (await ring(tmp_path / "secrets").host_secrets()).master == host.master


async def test_a_new_key_of_another_process_works_within_a_minute(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    ours, theirs = ring(tmp_path, loop.clock), ring(tmp_path)
    authorizer = Authorizer(ours)
    await ours.host_secrets()

    async def refusal(key: str) -> int | None:
        return await authorizer.rejection_status(FunctionLevel("Greet"), {"x-functions-key": key}, {})

    await theirs.put(HOST_FUNCTION_KEYS, "ci", "first")
    assert await refusal("first") is None
    # Looking again costs a read, so wrong keys make it happen once a minute at most.
    await theirs.put(HOST_FUNCTION_KEYS, "ci", "second")
    assert await refusal("second") == 401
    await loop.clock.advance(timedelta(minutes=1))
    assert await refusal("second") is None


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ('{"key": "k"}', [Key("default", "k")]),
        ('{"keys": [{"name": "a", "value": "k", "encrypted": false}]}', [Key("a", "k")]),
        ('{"keys": []}', []),
    ],
)
def test_function_secrets_in_all_formats(text: str, keys: list[Key]) -> None:
    assert read_function_keys(text) == keys


def test_host_secrets_in_the_oldest_format() -> None:
    host = read_host_secrets('{"masterKey": "m", "functionKey": "f"}')
    assert (host.master, host.function_keys) == (Key("master", "m"), [Key("default", "f")])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"masterKey": {"name": "master"}}',
        '{"masterKey": {"name": "master", "value": "x", "encrypted": true}}',
        '{"masterKey": "m", "functionKeys": {}}',
        '{"masterKey": "m", "systemKeys": [null]}',
    ],
)
def test_invalid_host_secrets(text: str) -> None:
    with pytest.raises(SecretsUnreadable):
        read_host_secrets(text)
