"""azemu beside the pins of an app: installed in a fresh environment, it runs the app on each version set.

`make versions` runs these tests and prints the table of docs/compatibility.md. They need a package index.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import PROJECT, environment, get, get_json, started
from tests.running_apps import copy_app
from tests.versions.version_sets import SETS, VersionSet
from tests.waiting import eventually_sync

APP = Path(__file__).parent / "app"
# Seconds. Creating an environment downloads up to 30 packages.
INSTALL_SECONDS = 300
# Nothing of the checkout, and none of the test session's strictness: old packages warn on a new Python.
ISOLATED = {"PYTHONPATH": "", "PYTHONWARNINGS": "default"}

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2 * INSTALL_SECONDS)]


@dataclass(frozen=True, slots=True)
class Installed:
    """A fresh environment in which azemu and the requirements of the app are installed."""

    versions: VersionSet
    app: Path
    folder: Path

    def script(self, name: str) -> str:
        return str(self.folder / ("Scripts" if os.name == "nt" else "bin") / name)

    def pip(self, *words: str) -> str:
        # The pip of the tests' own environment works on another one, so that none has to be installed there.
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", self.script("python")]
        return output_of([*command, *words])


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Without isolation: what builds the wheel is installed, see the group `build` in pyproject.toml.
    options = ["-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    output_of([sys.executable, "-m", "pip", "wheel", *options, str(PROJECT)])
    [wheel] = folder.glob("azemu-*.whl")
    return wheel


@pytest.fixture(params=SETS, ids=lambda versions: versions.name)
def installed(request: pytest.FixtureRequest, wheel: Path, tmp_path: Path) -> Iterator[Installed]:
    versions: VersionSet = request.param
    environment_folder = tmp_path / "environment"
    output_of([python_for(versions), "-m", "venv", "--without-pip", str(environment_folder)])
    app = copy_app(APP, tmp_path / "app")
    requirements = app / "requirements.txt"
    requirements.write_text("\n".join(versions.requirements), encoding="utf-8")
    installed = Installed(versions, app, environment_folder)
    first, *second = (
        (("pytest", str(wheel)), ("-r", str(requirements)))
        if versions.separately
        else (("pytest", str(wheel), "-r", str(requirements)),)
    )
    installed.pip("install", "-q", *first)
    for words in second:
        installed.pip("install", "-q", *words)
    yield installed
    # Each has up to 100 MB.
    shutil.rmtree(environment_folder, ignore_errors=True)


def test_app_runs_beside_its_pins(installed: Installed) -> None:
    listed = json.loads(installed.pip("list", "--format", "json"))
    found = {package["name"]: package["version"] for package in listed}
    print(f"{installed.versions.name}: {found}")
    assert {name: found.get(name) for name in installed.versions.pins} == installed.versions.pins
    assert not ({"grpcio", "protobuf"} - set(installed.versions.pins)) & set(found)
    # Raises if requirements conflict.
    installed.pip("check")

    with started(
        installed.app, "--storage", "builtin:memory", env=ISOLATED, command=[installed.script("azemu")]
    ) as running:
        origin = running.url().partition("/api/")[0]
        assert get(f"{origin}/api/hello?name=Ada") == "hello Ada"
        if installed.versions.durable:
            status_url = get_json(f"{origin}/api/start")["statusQueryGetUri"]
            status = eventually_sync(
                lambda: (status := get_json(status_url))["runtimeStatus"] in ("Completed", "Failed") and status,
                "the end of the orchestration",
            )
            assert status["output"] == {"greetings": ["hello Ada", "hello Grace"], "count": 2}
        running.interrupt()
        assert running.wait() == 0
        assert "plain aiohttp" not in running.output

    tests = [installed.script("python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_app.py"]
    expected = "2 passed" if installed.versions.durable else "1 passed, 1 skipped"
    assert expected in output_of(tests, cwd=installed.app)


def python_for(versions: VersionSet) -> str:
    """Return a Python of the version that a set needs; skip the test if there is none."""
    if versions.python in (None, f"{sys.version_info.major}.{sys.version_info.minor}"):
        return sys.executable
    name = f"python{versions.python}"
    path = shutil.which(name)
    # A version manager may have a command for each version, and only print an error for those that are not chosen.
    if path is None or subprocess.run([path, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"needs {name}")
    return path


def output_of(command: list[str], *, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(ISOLATED),
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
