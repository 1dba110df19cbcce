"""Files whose changes restart the host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.config.hostjson import HostOptions
from emulator.process.watch import Change, WatchRules, differences, next_changes, scan


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("function_app.py", True),
        ("package/module.py", True),
        ("host.json", True),
        ("deep/function.json", True),
        ("settings.yaml", True),
        ("Shared/template.html", True),
        ("Shared/deep/data.bin", True),
        ("other/Shared/template.html", False),
        ("requirements.txt", False),
        ("local.settings.json", False),
        ("README.md", False),
        (".venv/lib/module.py", False),
        (".git/hook.py", False),
        (".azurite/__azurite_db_blob__.json", False),
        ("__pycache__/module.py", False),
        ("package/__pycache__/module.py", False),
        ("node_modules/tool/module.py", False),
    ],
)
def test_watched_files(tmp_path: Path, name: str, counts: bool) -> None:
    rules = WatchRules.of(HostOptions(watch_directories=("Shared",), watch_files=("settings.yaml",)))
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert list(scan(tmp_path, rules)) == ([path] if counts else [])


def test_virtual_environments_are_not_watched(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / "env" / "module.py").touch()
    assert scan(tmp_path, WatchRules()) == {}


def test_differences_of_two_scans() -> None:
    kept, changed, created, deleted = (Path(name) for name in ("kept", "changed", "created", "deleted"))
    before = {kept: (1, 1), changed: (1, 1), deleted: (1, 1)}
    after = {kept: (1, 1), changed: (2, 1), created: (1, 1)}
    assert differences(before, after) == [
        Change("Changed", changed),
        Change("Created", created),
        Change("Deleted", deleted),
    ]


async def test_changed_modification_time_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "function_app.py"
    path.write_text("old")
    before = scan(tmp_path, WatchRules())
    os.utime(path, ns=(0, 0))
    assert await next_changes(tmp_path, WatchRules(), before, SystemClock()) == [Change("Changed", path)]
