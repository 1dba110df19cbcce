"""The host id, by the examples of the Functions host."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest

from emulator.config.settings import Settings
from emulator.host.host_id import host_id


@pytest.mark.parametrize(
    ("machine", "root", "expected"),
    [
        ("My-Host.01", PurePosixPath("/home/u/app"), "myhost01-18507441"),
        ("DESKTOP-AB12CD", PureWindowsPath(r"C:\src\fn"), "desktopab12cd-385211054"),
        ("a-very-long-machine-name-0123456789", PurePosixPath("/srv/app"), "averylongmachinename0123456789-2"),
        ("a-machine-whose-name-is-cut-at-a-minus", PurePosixPath("/srv/app"), "amachinewhosenameiscutataminus-2"),
    ],
)
def test_machine_and_path_make_the_host_id(machine: str, root: PurePosixPath | PureWindowsPath, expected: str) -> None:
    assert host_id(root, Settings({}), machine) == expected


def test_a_setting_replaces_the_host_id() -> None:
    settings = Settings({"AzureFunctionsWebHost__hostid": "Mine-"})
    assert host_id(PurePosixPath("/x"), settings, "m") == "mine"
