"""An app that uses azure-functions-durable 2.x is refused with one message."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.processes import get, started
from tests.running_apps import DURABLE_APP, HELLO, HTTP_APP, run_app, write_app

MESSAGE = "but azemu needs azure-functions-durable<2 for now"


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH in which the installed package says that it is a release candidate of 2.0.0."""
    folder = tmp_path / "packages"
    metadata = folder / "azure_functions_durable-2.0.0rc3.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: azure-functions-durable\nVersion: 2.0.0rc3\n")
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


def test_an_app_without_durable_functions_runs_beside_it(tmp_path: Path, packages: Path) -> None:
    app = write_app(tmp_path / "app", HELLO)
    with started(app, "--no-reload", "--storage", "builtin:memory", env={"PYTHONPATH": str(packages)}) as running:
        assert get(running.url()) == "hello"
