"""Keys as the Functions host makes them, and the JSON files that it keeps them in.

Source: host, Security/KeyManagement/* (HostSecrets, FunctionSecrets, SecretGenerator);
docs/protocol/functions-host.md 5.3.
"""

from __future__ import annotations

import base64
import enum
import json
import secrets
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_KEY_BYTES = 40
_SIGNATURE = base64.b64decode("AzFu")


class KeyKind(enum.Enum):
    """The value is the seed of the checksum in a generated key, which tells the kinds apart."""

    MASTER = b"Master00"
    SYSTEM = b"System00"
    FUNCTION = b"Functi00"


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSecrets:
    master: Key
    function_keys: Sequence[Key] = ()
    system_keys: Sequence[Key] = ()


class SecretsUnreadable(ValueError):
    """The text is not a secrets file. `str(error)` says what is wrong with it."""


def generate_key(kind: KeyKind, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A new key: 56 characters of URL-safe base64 with `AzFu` in it and a checksum at the end.

    Secret scanners know keys of Azure Functions by these two (Microsoft.Security.Utilities, IdentifiableSecrets).
    """
    checked = random_bytes(_KEY_BYTES - len(_SIGNATURE) - 4) + _SIGNATURE
    checksum = _marvin32(checked, int.from_bytes(kind.value, "big"))
    return base64.urlsafe_b64encode(checked + struct.pack("<I", checksum)).decode("ascii")


def new_host_secrets() -> HostSecrets:
    return HostSecrets(
        master=Key("master", generate_key(KeyKind.MASTER)),
        function_keys=[Key("default", generate_key(KeyKind.FUNCTION))],
    )


def new_function_keys() -> list[Key]:
    return [Key("default", generate_key(KeyKind.FUNCTION))]


def host_secrets_text(host: HostSecrets, origin: Mapping[str, str]) -> str:
    """`origin`: `hostName` and `instanceId` of the writer."""
    return _text(
        {
            "masterKey": _key_json(host.master),
            "functionKeys": [_key_json(key) for key in host.function_keys],
            "systemKeys": [_key_json(key) for key in host.system_keys],
        },
        origin,
    )


def function_keys_text(keys: Sequence[Key], origin: Mapping[str, str]) -> str:
    return _text({"keys": [_key_json(key) for key in keys]}, origin)


def read_host_secrets(text: str) -> HostSecrets:
    """Also reads the oldest form, `{"masterKey": "k", "functionKey": "k"}`. Raises SecretsUnreadable."""
    content = _content(text)
    legacy = content.get("functionKey")
    return HostSecrets(
        master=_key(content.get("masterKey"), "master"),
        function_keys=[_key(legacy, "default")] if legacy is not None else _keys(content.get("functionKeys")),
        system_keys=_keys(content.get("systemKeys")),
    )


def read_function_keys(text: str) -> list[Key]:
    """Also reads the oldest form, `{"key": "k"}`. Raises SecretsUnreadable."""
    content = _content(text)
    if "key" in content:
        return [_key(content["key"], "default")]
    return _keys(content.get("keys"))


def _text(content: Mapping[str, Any], origin: Mapping[str, str]) -> str:
    return json.dumps({**content, **origin, "source": "runtime", "decryptionKeyId": ""}, indent=2)


def _key_json(key: Key) -> dict[str, Any]:
    return {"name": key.name, "value": key.value, "encrypted": False}


def _content(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SecretsUnreadable(f"it is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise SecretsUnreadable("it is not a JSON object")
    return content


def _keys(items: Any) -> list[Key]:
    if not isinstance(items, list | None):
        raise SecretsUnreadable("keys must be an array")
    return [_key(item, "") for item in items or ()]


def _key(item: Any, name: str) -> Key:
    if isinstance(item, str):
        return Key(name, item)
    if not isinstance(item, dict) or not isinstance(item.get("value"), str) or not item["value"]:
        raise SecretsUnreadable(f'the key "{name}" has no value' if name else "a key has no value")
    if item.get("encrypted"):
        raise SecretsUnreadable("its keys are encrypted, which only the host that wrote it can undo")
    return Key(str(item.get("name") or name), item["value"])


def _marvin32(content: bytes, seed: int) -> int:
    """The Marvin checksum, 64 bits folded to 32 (US patent 20130262421; .NET: Marvin.ComputeHash32)."""
    low, high = seed & 0xFFFFFFFF, seed >> 32
    padded = content + b"\x80" + b"\0" * (-(len(content) + 1) % 4)
    for (word,) in struct.iter_unpack("<I", padded):
        low, high = _marvin_block((low + word) & 0xFFFFFFFF, high)
    low, high = _marvin_block(low, high)
    return low ^ high


def _marvin_block(low: int, high: int) -> tuple[int, int]:
    high ^= low
    low = (_rotated(low, 20) + high) & 0xFFFFFFFF
    high = _rotated(high, 9) ^ low
    low = (_rotated(low, 27) + high) & 0xFFFFFFFF
    return low, _rotated(high, 19)


def _rotated(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & 0xFFFFFFFF
