"""`azemu shim`: the command `func` in a virtual environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from emulator.cli.command import main
from emulator.errors import ConfigurationError
from emulator.scaffolding.shim import install_shim, remove_shim
from tests.processes import environment, run
from tests.waiting import PATIENCE_SECONDS

SUFFIX = ".exe" if sys.platform == "win32" else ""
COMMAND = Path(sysconfig.get_path("scripts")) / f"azemu{SUFFIX}"

pytestmark = pytest.mark.skipif(not COMMAND.is_file(), reason="azemu is not installed as a command")


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A folder of commands with azemu's."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    shutil.copy(COMMAND, folder)
    return folder


def func(scripts: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(scripts / f"func{SUFFIX}"), *words],
        cwd=scripts.parent,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_func_is_azemu_and_has_a_version_that_editors_can_read(scripts: Path) -> None:
    assert install_shim(scripts).path == scripts / f"func{SUFFIX}"
    version = func(scripts, "--version")
    assert (version.returncode, version.stderr) == (0, "")
    # VS Code: a semantic version and nothing else.
    assert re.fullmatch(r"4\.\d+\.\d+\n", version.stdout)
    created = func(scripts, "new", "--template", "HTTP trigger", "--name", "greet")
    assert created.returncode == 1
    assert "Unable to find project root" in created.stderr


def test_advice_to_use_func_says_how_to_reach_that_of_core_tools(
    scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`func azure functionapp publish` of azemu must not lead to azemu again."""
    install_shim(scripts)
    monkeypatch.setenv("PATH", str(scripts))
    alone = func(scripts, "azure", "functionapp", "publish", "shop")
    assert alone.returncode == 2
    assert f"The command `func` in {scripts} is azemu's own (azemu shim)" in alone.stderr
    assert "use `npx azure-functions-core-tools@4` instead of `func`, or `azemu shim --remove` first." in alone.stderr
    core_tools = tmp_path / "core-tools"
    core_tools.mkdir()
    shutil.copy(sys.executable, core_tools / f"func{SUFFIX}")
    monkeypatch.setenv("PATH", os.pathsep.join((str(scripts), str(core_tools))))
    beside = func(scripts, "pack")
    assert f"use `{core_tools / f'func{SUFFIX}'}`, or `azemu shim --remove` first." in beside.stderr
    # Without the shim the advice is right as it is.
    remove_shim(scripts)
    assert "is azemu's own" not in run("pack", cwd=tmp_path).stderr


def test_shim_can_be_written_again_and_removed(scripts: Path) -> None:
    install_shim(scripts)
    install_shim(scripts)
    assert remove_shim(scripts) == scripts / f"func{SUFFIX}"
    assert [path.name for path in scripts.iterdir()] == [COMMAND.name]
    assert remove_shim(scripts) is None


def test_other_func_is_never_replaced_or_removed(scripts: Path) -> None:
    other = scripts / f"func{SUFFIX}"
    other.write_text("Core Tools")
    with pytest.raises(ConfigurationError, match="is another command, which azemu does not replace"):
        install_shim(scripts)
    with pytest.raises(ConfigurationError, match="was not written by azemu"):
        remove_shim(scripts)
    assert other.read_text() == "Core Tools"


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_link_to_another_func_is_never_replaced(scripts: Path, tmp_path: Path) -> None:
    (scripts / "func").symlink_to(tmp_path / "core-tools" / "func")
    with pytest.raises(ConfigurationError, match="is another command"):
        install_shim(scripts)
    assert (scripts / "func").is_symlink()


def test_environment_without_azemu_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="python -m pip install azemu"):
        install_shim(tmp_path)


def test_nothing_is_installed_for_the_whole_system(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert main(["shim"]) == 1
    assert "python -m venv .venv" in capsys.readouterr().err
