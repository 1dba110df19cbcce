"""Run `azemu init` and `azemu new` in this process, and the tests that they write."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from emulator.cli.command import main
from emulator.testing import SyncAppUnderTest


def azemu(*words: str | Path) -> None:
    """Run a command that must succeed."""
    assert main([str(word) for word in words]) == 0


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Run a command that must fail with exit code 1 and one line. Return that line."""
    capsys.readouterr()
    assert main([str(word) for word in words]) == 1
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    return error


def written_tests(path: Path) -> list[Callable[[SyncAppUnderTest], None]]:
    """Return the test functions of a file."""
    spec = importlib.util.spec_from_file_location(f"written_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert found
    return found
