"""Authorization: access by key and authorization level."""

from __future__ import annotations

import pytest

from emulator.host.http.keys.authorization import (
    Access,
    AdminApi,
    AdminFunction,
    Anonymous,
    FunctionLevel,
    SystemLevel,
    function_access,
    grant_of,
    presented_key,
    rejection_status,
)
from emulator.host.http.keys.secret_format import HostSecrets, Key

HOST = HostSecrets(
    master=Key("master", "the-master"),
    function_keys=[Key("default", "host-key")],
    system_keys=[Key("durabletask_extension", "durable-key"), Key("blobs_extension", "blobs-key")],
)
OWN_KEYS = [Key("default", "own-key")]
KEYS = [None, "", "wrong", "own-key", "host-key", "durable-key", "blobs-key", "the-master"]


@pytest.mark.parametrize(
    ("access", "statuses"),
    [
        #                                         none  empty wrong own   host  durable blobs master
        (Anonymous(), [None, None, None, None, None, None, None, None]),
        (FunctionLevel("Greet"), [401, 401, 401, None, None, 401, 401, None]),
        (AdminFunction("Greet"), [401, 401, 401, 401, 401, 401, 401, None]),
        (AdminApi(), [401, 401, 401, 403, 403, 403, 403, None]),
        (SystemLevel("durabletask_extension"), [401, 401, 401, 401, 401, None, 401, None]),
    ],
)
def test_access_by_key_and_level(access: Access, statuses: list[int | None]) -> None:
    assert [rejection_status(access, grant_of(key, HOST, OWN_KEYS)) for key in KEYS] == statuses


@pytest.mark.parametrize("key", ["OWN-KEY", "own-key ", "own-ke", "own-keyy", "\udcff", "ключ"])
def test_a_key_that_differs_slightly_is_rejected(key: str) -> None:
    assert grant_of(key, HOST, OWN_KEYS) is None


def test_a_key_with_several_levels_has_the_highest() -> None:
    host = HostSecrets(master=Key("master", "same"), function_keys=[Key("default", "same")])
    grant = grant_of("same", host, [Key("default", "same")])
    assert grant is not None
    assert grant.key_name == "master"


@pytest.mark.parametrize(
    ("level", "access"),
    [
        ("anonymous", Anonymous()),
        ("ANONYMOUS", Anonymous()),
        ("function", FunctionLevel("F")),
        (None, FunctionLevel("F")),
        ("admin", AdminFunction("F")),
        ("user", FunctionLevel("F")),
    ],
)
def test_auth_levels(level: str | None, access: Access) -> None:
    assert function_access(level, "F") == access


def test_the_header_takes_precedence_over_the_query() -> None:
    assert presented_key({"x-functions-key": "a"}, {"code": "b"}) == "a"
    assert presented_key({}, {"code": "b"}) == "b"
    assert presented_key({"x-functions-key": ""}, {"code": "b"}) == ""
    assert presented_key({}, {}) is None
