"""Files whose changes restart the host."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.config.hostjson import HostOptions
from emulator.process.watch import Change, FileState, FileWatcher, WatchRules, differences, scan


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
        ("local.settings.json", True),
        ("package/local.settings.json", False),
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
    before = {kept: FileState(1, 1, b"a"), changed: FileState(1, 1, b"a"), deleted: FileState(1, 1, b"a")}
    after = {kept: FileState(2, 1, b"a"), changed: FileState(1, 1, b"b"), created: FileState(1, 1, b"a")}
    assert differences(before, after) == [
        Change("Changed", changed),
        Change("Created", created),
        Change("Deleted", deleted),
    ]


def test_large_files_are_compared_by_time_and_size(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_bytes(b"#" * 1_000_001)
    before = scan(tmp_path, WatchRules())
    os.utime(path, ns=(0, 0))
    assert differences(before, scan(tmp_path, WatchRules(), before)) == [Change("Changed", path)]


@pytest.mark.parametrize("files", [(), ("local.settings.json",)])
async def test_settings_restart_a_running_host_only_if_host_json_says_so(
    tmp_path: Path, files: tuple[str, ...]
) -> None:
    watcher = FileWatcher(tmp_path, SystemClock())
    await watcher.begin(WatchRules.of(HostOptions(watch_files=files)))
    (tmp_path / "local.settings.json").touch()
    [change] = await watcher.next_changes()
    assert watcher.restarts(change) is bool(files)
    (tmp_path / "function_app.py").touch()
    [change] = await watcher.next_changes()
    assert watcher.restarts(change)


async def test_only_a_different_content_is_a_change(tmp_path: Path) -> None:
    generated, edited = tmp_path / "generated.py", tmp_path / "edited.py"
    generated.write_text("FIELDS = ()")
    edited.write_text("one")
    watcher = FileWatcher(tmp_path, SystemClock())
    await watcher.begin(WatchRules())
    generated.write_text("FIELDS = ()")
    os.utime(generated, ns=(0, 0))
    edited.write_text("two")
    assert await watcher.next_changes() == [Change("Changed", edited)]
    # The next wait compares with this state.
    edited.unlink()
    assert await watcher.next_changes() == [Change("Deleted", edited)]


async def test_file_that_changes_after_every_start_is_named_once(tmp_path: Path) -> None:
    clock = ManualClock()
    written, other = tmp_path / "version.py", tmp_path / "other.py"
    watcher = FileWatcher(tmp_path, clock)
    named = []
    for number in range(5):
        await watcher.begin(WatchRules())
        changes = [Change("Changed", written)] + ([Change("Changed", other)] if number == 1 else [])
        named.append(watcher.written_by_app(changes))
    assert named == [None, None, written, None, None]


async def test_edits_that_come_later_are_not_taken_for_changes_by_the_app(tmp_path: Path) -> None:
    clock = ManualClock()
    watcher = FileWatcher(tmp_path, clock)
    for _ in range(5):
        await watcher.begin(WatchRules())
        clock.time += timedelta(seconds=6)
        assert watcher.written_by_app([Change("Changed", tmp_path / "function_app.py")]) is None


class ManualClock(SystemClock):
    """Clock whose time the test sets."""

    time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time
