"""Format of access keys and of the JSON secrets files of the Functions host.

Source: host, Security/KeyManagement/* (HostSecrets, FunctionSecrets, SecretGenerator);
docs/protocol/functions-host.md 5.3.
"""

from __future__ import annotations

import base64
import enum
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator import bound_json as json
from emulator.random_numbers import random_bytes

_KEY_BYTES = 40
# Secret scanners recognise keys of Azure Functions by this signature and the checksum behind it.
_SIGNATURE = base64.b64decode("AzFu")


class KeyKind(enum.Enum):
    """Kind of a key. The value is the seed of the checksum in generated keys, which differs by kind."""

    MASTER = b"Master00"
    SYSTEM = b"System00"
    FUNCTION = b"Functi00"


@dataclass(frozen=True, slots=True)
class Key:
    """An access key with its name."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSecrets:
    """Content of the file `host.json` in the secrets folder."""

    master: Key
    function_keys: Sequence[Key] = ()
    system_keys: Sequence[Key] = ()


class SecretsUnreadable(ValueError):
    """A text is not a secrets file. `str(error)` is the reason, as the end of a sentence."""


def generate_key(kind: KeyKind, random_bytes: Callable[[int], bytes] = random_bytes) -> str:
    """Generate a key: 56 characters of URL-safe base64 that hold random bytes, the signature `AzFu` and a checksum.

    Source: Microsoft.Security.Utilities, IdentifiableSecrets.
    """
    checked = random_bytes(_KEY_BYTES - len(_SIGNATURE) - 4) + _SIGNATURE
    checksum = _marvin32(checked, int.from_bytes(kind.value, "big"))
    return base64.urlsafe_b64encode(checked + struct.pack("<I", checksum)).decode("ascii")


def new_host_secrets() -> HostSecrets:
    """Generate the keys of a new host: a master key and a function key named `default`."""
    return HostSecrets(
        master=Key("master", generate_key(KeyKind.MASTER)),
        function_keys=[Key("default", generate_key(KeyKind.FUNCTION))],
    )


def new_function_keys() -> list[Key]:
    """Generate the keys of a new function: one named `default`."""
    return [Key("default", generate_key(KeyKind.FUNCTION))]


def host_secrets_text(host: HostSecrets, origin: Mapping[str, str]) -> str:
    """Return the text of the host's secrets file. `origin`: members `hostName` and `instanceId`."""
    return _text(
        {
            "masterKey": _key_json(host.master),
            "functionKeys": [_key_json(key) for key in host.function_keys],
            "systemKeys": [_key_json(key) for key in host.system_keys],
        },
        origin,
    )


def function_keys_text(keys: Sequence[Key], origin: Mapping[str, str]) -> str:
    """Return the text of a function's secrets file. `origin`: members `hostName` and `instanceId`."""
    return _text({"keys": [_key_json(key) for key in keys]}, origin)


def read_host_secrets(text: str) -> HostSecrets:
    """Parse a host's secrets file, also in the oldest form `{"masterKey": "k", "functionKey": "k"}`.

    Raises SecretsUnreadable.
    """
    content = _content(text)
    legacy = content.get("functionKey")
    return HostSecrets(
        master=_key(content.get("masterKey"), "master"),
        function_keys=[_key(legacy, "default")] if legacy is not None else _keys(content.get("functionKeys")),
        system_keys=_keys(content.get("systemKeys")),
    )


def read_function_keys(text: str) -> list[Key]:
    """Parse a function's secrets file, also in the oldest form `{"key": "k"}`. Raises SecretsUnreadable."""
    content = _content(text)
    if "key" in content:
        return [_key(content["key"], "default")]
    return _keys(content.get("keys"))


def _text(content: Mapping[str, Any], origin: Mapping[str, str]) -> str:
    # Keys are never encrypted here; the Functions host too writes them in plain text when it runs locally.
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
        # Encrypted with the machine key of the App Service instance that wrote the file.
        raise SecretsUnreadable("its keys are encrypted, and only the host that wrote it can decrypt them")
    return Key(str(item.get("name") or name), item["value"])


def _marvin32(content: bytes, seed: int) -> int:
    """Return the Marvin checksum, folded from 64 to 32 bits (.NET: Marvin.ComputeHash32; US patent 20130262421)."""
    low, high = seed & 0xFFFFFFFF, seed >> 32
    # The input is terminated by the byte 0x80 and padded to whole 32-bit words.
    padded = content + b"\x80" + b"\0" * (-(len(content) + 1) % 4)
    for (word,) in struct.iter_unpack("<I", padded):
        low, high = _marvin_block((low + word) & 0xFFFFFFFF, high)
    # One more block without input mixes the bits of the last word.
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
