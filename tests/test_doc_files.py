"""The files that pages show: workflows, containers, hooks. What they name exists, and their commands run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from emulator.cli.command import main
from emulator.config.start import DEFAULT_PORT
from emulator.storage.azurite.release import VERSION
from tests.doc_sessions import PROJECT, blocks_of, unknown_packages
from tests.processes import environment, started
from tests.running_apps import write_app
from tests.waiting import PATIENCE_SECONDS

HOW_TO = PROJECT / "docs" / "how-to"


def the_block(page: str, language: str, text: str) -> str:
    """Return the block of a page with a text."""
    [block] = [block for kind, block in blocks_of(HOW_TO / page) if kind == language and text in block]
    return block


@pytest.fixture
def order_app(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A new app, as `azemu init` creates it."""
    assert main(["init", str(tmp_path / "order-app"), "--template", "order"]) == 0
    return tmp_path / "order-app"


def test_the_commands_of_the_workflow_succeed_in_a_new_app(order_app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = yaml.safe_load(the_block("ci.md", "yaml", "runs-on"))
    install, check, run_tests = [
        shlex.split(step["run"]) for step in workflow["jobs"]["test"]["steps"] if "run" in step
    ]
    assert (install[:2], run_tests) == (["pip", "install"], ["pytest", "-n", "auto"])
    assert unknown_packages([word for word in install[2:] if word != "requirements.txt"]) == []
    monkeypatch.chdir(order_app)
    assert (check[0], main(check[1:])) == ("azemu", 0)
    assert json.loads((order_app / "check.sarif").read_text(encoding="utf-8"))["version"] == "2.1.0"


@pytest.mark.soak
def test_the_tests_of_the_workflow_succeed_in_a_new_app(order_app: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-n", "auto"]
    result = subprocess.run(command, cwd=order_app, env=environment({"PYTHONWARNINGS": "default"}), check=False)
    assert result.returncode == 0


def test_the_hook_exists() -> None:
    hooks = yaml.safe_load((PROJECT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    shown = yaml.safe_load(the_block("ci.md", "yaml", "repos"))
    assert {hook["id"] for repo in shown["repos"] for hook in repo["hooks"]} <= {hook["id"] for hook in hooks}


def test_the_devcontainer_forwards_the_port_of_the_host() -> None:
    container = json.loads(the_block("containers.md", "json", "forwardPorts"))
    assert container["forwardPorts"] == [DEFAULT_PORT]
    install = shlex.split(container["postCreateCommand"])
    assert install[:4] == ["pip", "install", "-r", "requirements.txt"]
    # The launch files need it, azemu does not.
    assert unknown_packages(install[4:]) == ["debugpy"]


def test_the_host_of_the_container_is_called_by_its_names(tmp_path: Path) -> None:
    instructions = [
        line.split(maxsplit=1) for line in the_block("containers.md", "dockerfile", "FROM").splitlines() if line
    ]
    assert [name for name, _ in instructions] == ["FROM", "WORKDIR", "COPY", "RUN", "COPY", "CMD"]
    values: dict[str, Any] = dict(instructions)
    install = shlex.split(values["RUN"])
    assert unknown_packages([word for word in install[2:] if word != "requirements.txt"]) == []
    command, start, *options = json.loads(values["CMD"])
    assert (command, start) == ("azemu", "start")
    with started(write_app(tmp_path / "app"), *options) as host:
        ping = f"{host.url().partition('/api/')[0]}/admin/host/ping"
        # Other containers use the name of the service, the browser of the machine its own.
        assert [status_of(ping, name) for name in ("functions:7071", "localhost:7071", "evil.example")] == [
            200,
            200,
            403,
        ]


def status_of(url: str, host: str) -> int:
    request = urllib.request.Request(url, headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_image_of_azurite_has_the_version_that_azemu_installs() -> None:
    pages = [*(PROJECT / "docs").rglob("*.md"), PROJECT / "README.md", PROJECT / "compose.yaml"]
    images = [image for page in pages for image in re.findall(r"azure-storage/azurite\S*", page.read_text("utf-8"))]
    assert len(images) >= 2
    assert set(images) == {f"azure-storage/azurite:{VERSION}"}
