"""Packages that are too old or missing: the message, and what still works."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest

from emulator.accounts import open_accounts
from emulator.clock import SystemClock
from emulator.config.settings import Settings
from emulator.packages import PACKAGES, UnusablePackage, require
from tests.processes import PROJECT, run
from tests.running_apps import write_app

REAL_ACCOUNT = "DefaultEndpointsProtocol=https;AccountName=orders;AccountKey=a2V5;EndpointSuffix=core.windows.net"


def test_the_lowest_versions_are_those_of_the_package_metadata() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["durable"]]
    # tzdata has no lowest version: each contains the time zones.
    bounds = dict(requirement.split(",")[0].split(">=") for requirement in declared if "tzdata" not in requirement)
    assert bounds == {name: package.lowest for name, package in PACKAGES.items()}


@pytest.mark.parametrize(
    ("name", "options"), [("aiohttp", ()), ("azure-functions", ("--no-reload",))], ids=["supervised", "alone"]
)
def test_start_names_a_package_that_is_too_old(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    # Python runs this file first. A real old release needs an environment of its own: see tests/versions.
    customize = f"import {PACKAGES[name].module} as package\npackage.__version__ = '1.8.0'\n"
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "sitecustomize.py").write_text(customize, encoding="utf-8")
    app = write_app(tmp_path / "app")
    path = os.pathsep.join((str(tmp_path / "old"), str(PROJECT)))
    ended = run("start", "--port", "0", "--storage", "builtin:memory", *options, cwd=app, env={"PYTHONPATH": path})
    assert ended.returncode == 1
    assert f"The package {name} 1.8.0 in {sys.prefix} is too old." in ended.stderr
    assert f'-m pip install -U "{name}>={PACKAGES[name].lowest}"' in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.storage.queue", None)
    with pytest.raises(UnusablePackage, match=r"package azure-storage-queue cannot be imported .* pip install -U"):
        require("azure-storage-queue")


@pytest.mark.parametrize(
    ("version", "usable"), [("12.1.9", False), ("12.2", True), ("12.2.0b1", True), ("12.10.0", True), ("13", True)]
)
def test_versions_are_compared_by_their_numbers(version: str, usable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import azure.storage.queue

    monkeypatch.setattr(azure.storage.queue, "__version__", version)
    if usable:
        require("azure-storage-queue")
    else:
        with pytest.raises(UnusablePackage, match=r"azure-storage-queue 12\.1\.9 in .* is too old"):
            require("azure-storage-queue")


async def test_an_old_storage_sdk_matters_only_for_its_service(monkeypatch: pytest.MonkeyPatch) -> None:
    import azure.data.tables

    monkeypatch.setattr(azure.data.tables, "__version__", "12.0.0")
    async with open_accounts(Settings({"Orders": REAL_ACCOUNT}), SystemClock()) as accounts:
        assert accounts("Orders").queue("new").name == "new"
        with pytest.raises(UnusablePackage, match=r"azure-data-tables 12\.0\.0"):
            accounts("Orders").table("new")


async def test_without_azure_core_only_real_accounts_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("emulator.storage.azure")]:
        if not module.startswith("emulator.storage.azurite"):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr("emulator.storage.azure")
    monkeypatch.setitem(sys.modules, "azure.core", None)
    settings = Settings({"Orders": REAL_ACCOUNT, "Local": "builtin:memory"})
    async with open_accounts(settings, SystemClock()) as accounts:
        assert accounts("Local").queue("new").name == "new"
        with pytest.raises(UnusablePackage, match="package azure-core cannot be imported"):
            accounts("Orders")
