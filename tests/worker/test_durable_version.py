"""An app that uses a release of azure-functions-durable that azemu cannot run is refused with one message."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from emulator.packages import PACKAGES
from tests.processes import get, started
from tests.running_apps import DURABLE_APP, HELLO, HTTP_APP, run_app, write_app
from tests.sdk_releases import DURABLE, needs

MESSAGE = "but azemu needs azure-functions-durable<2 for now"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH in which the installed package says that it is a release candidate of 2.0.0."""
    return packages_with(tmp_path / "packages", "2.0.0rc3")


def packages_with(folder: Path, version: str) -> Path:
    metadata = folder / f"azure_functions_durable-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: azure-functions-durable\nVersion: {version}\n")
    return folder


async def test_a_binding_that_demands_grpc_is_recognised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The decorators of 2.x write this member; the version of the package is not known everywhere."""
    functions = """
    @app.generic_trigger(arg_name="input", type="activityTrigger", durableRequiresGrpc=True)
    def greet(input: str):
        pass
    """
    async with run_app(tmp_path, HTTP_APP, functions) as site:
        status = (await site.get("/admin/host/status")).json()
        assert status["state"] == "Running"
        assert MESSAGE in status["errors"][0]
    assert f"The app uses azure-functions-durable 2 or later, {MESSAGE}" in caplog.text
    assert "azure-functions-durable>=1.7.0,<2" in caplog.text


@needs(DURABLE, "1.2.0")
@pytest.mark.parametrize("mistake", ["", "df.NoSuchName\n"], ids=["imported", "import fails"])
async def test_the_installed_version_is_recognised(
    tmp_path: Path,
    packages: Path,
    mistake: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.syspath_prepend(str(packages))
    async with run_app(tmp_path / "app", DURABLE_APP, mistake) as site:
        [error] = (await site.get("/admin/host/status")).json()["errors"]
    assert error.startswith(f"The app uses azure-functions-durable 2.0.0rc3, {MESSAGE}")
    assert "NoSuchName" not in caplog.text


@needs(DURABLE, "1.2.0")
async def test_an_old_version_is_an_error_of_the_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.syspath_prepend(str(packages_with(tmp_path / "packages", "0.9.1")))
    async with run_app(tmp_path / "app", DURABLE_APP) as site:
        [error] = (await site.get("/admin/host/status")).json()["errors"]
    assert error.startswith(f"The package azure-functions-durable 0.9.1 in {sys.prefix} is too old.")
    assert f'-m pip install -U "azure-functions-durable>={PACKAGES[DURABLE].lowest}"' in caplog.text


def test_an_app_without_durable_functions_runs_beside_it(tmp_path: Path, packages: Path) -> None:
    app = write_app(tmp_path / "app", HELLO)
    with started(app, "--no-reload", "--storage", "builtin:memory", env={"PYTHONPATH": str(packages)}) as running:
        assert get(running.url()) == "hello"
