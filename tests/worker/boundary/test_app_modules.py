"""Modules of an app in the host's process: odd layouts, and top-level names that azemu has too."""

from __future__ import annotations

import importlib
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import emulator
from emulator.errors import AppLoadError
from tests.running_apps import HTTP_APP, run_app, write_app
from tests.worker.apps import new_invocation, new_worker, value_of

CALLED = '\n@app.generic_trigger(arg_name="x", type="someTrigger")\n'
HEAD = "import azure.functions as func\napp = func.FunctionApp()\n"

# Uses the package in the ways in which apps and their libraries do.
DEVICES_APP = """
import importlib, pickle
import azure.functions as func
import emulator
from emulator import errors
from emulator.devices import Device, reading
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route("reading")
def current(req: func.HttpRequest) -> str:
    from emulator import devices
    assert importlib.import_module("emulator.devices") is devices is emulator.devices
    assert pickle.loads(pickle.dumps(Device(reading()))) == Device(reading())
    try:
        raise errors.EmulatorError("mine")
    except errors.EmulatorError as error:
        return f"{reading()} {emulator.VERSION} {error}"
"""
DEVICES = """
from __future__ import annotations
import logging
from dataclasses import dataclass
from .errors import EmulatorError

@dataclass
class Device:
    number: int

def reading() -> int:
    logging.getLogger(__name__).warning("logged by a module of the app")
    return 21
"""


def write_devices_app(folder: Path, version: str) -> Path:
    write_app(folder, DEVICES_APP)
    package = folder / "emulator"
    package.mkdir()
    (package / "__init__.py").write_text(f"VERSION = {version!r}")
    (package / "devices.py").write_text(DEVICES)
    # A module of azemu has the same name.
    (package / "errors.py").write_text("class EmulatorError(Exception): pass")
    return folder


async def test_app_has_a_package_with_the_name_of_azemus(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for version in ("first", "second"):
        async with run_app(write_devices_app(tmp_path / version, version)) as site:
            answer = await site.get("/api/reading")
            assert answer.text == f"21 {version} mine"
    assert "logged by a module of the app" in caplog.messages
    assert sys.modules["emulator"] is emulator
    assert importlib.import_module("emulator.errors").__name__ in sys.modules
    assert "emulator.devices" not in sys.modules


async def test_apps_with_and_without_such_a_package_are_open_at_the_same_time(tmp_path: Path) -> None:
    hello = '@app.route("hello")\ndef hello(req: func.HttpRequest) -> str: return "hello"'
    async with run_app(tmp_path / "other", HTTP_APP, hello) as other:
        async with run_app(write_devices_app(tmp_path / "app", "one")) as site:
            assert (await site.get("/api/reading")).text == "21 one mine"
            assert (await other.get("/api/hello")).text == "hello"
            # For code outside the app's folder too, what the app's package lacks is azemu's.
            assert importlib.import_module("emulator.testing.http").Answer.__module__ == "emulator.testing.http"
        assert (await other.get("/api/hello")).text == "hello"
    assert sys.modules["emulator"] is emulator


async def call(folder: Path) -> Any:
    async with new_worker(folder) as worker:
        await worker.load()
        return value_of(await worker.invoke(new_invocation("f")))


@pytest.mark.parametrize("is_package", [True, False], ids=["folder without __init__.py", "single file"])
async def test_name_of_azemus_package_is_used_in_another_way(tmp_path: Path, is_package: bool) -> None:
    if is_package:
        write_app(tmp_path, HEAD, "from emulator.board import VALUE", CALLED, "def f(x): return VALUE")
        (tmp_path / "emulator").mkdir()
        (tmp_path / "emulator" / "board.py").write_text("VALUE = 'mine'")
    else:
        code = "import emulator", CALLED, "def f(x): return emulator.VALUE"
        write_app(tmp_path, HEAD, *code, emulator="VALUE = 'mine'")
    assert await call(tmp_path) == "mine"
    assert sys.modules["emulator"] is emulator


async def test_folders_without_init_files_in_one_another(tmp_path: Path) -> None:
    for name in ("first", "second"):
        folder = write_app(
            tmp_path / name, HEAD, "from src.services.words import WORD", CALLED, "def f(x): return WORD"
        )
        (folder / "src" / "services").mkdir(parents=True)
        (folder / "src" / "services" / "words.py").write_text(f"WORD = {name!r}")
        assert await call(folder) == name
    assert not [name for name in sys.modules if name.partition(".")[0] == "src"]


async def test_package_behind_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "__init__.py").write_text("WORD = 'linked'")
    folder = write_app(tmp_path / "app", HEAD, "from linked_package import WORD", CALLED, "def f(x): return WORD")
    try:
        (folder / "linked_package").symlink_to(tmp_path / "real", target_is_directory=True)
    except OSError:
        pytest.skip("this user may not create symbolic links")
    assert await call(folder) == "linked"
    assert "linked_package" not in sys.modules


async def test_app_adds_its_own_folder_and_zip_file_to_the_path(tmp_path: Path) -> None:
    path = list(sys.path)
    for name in ("first", "second"):
        code = (
            "import os, sys",
            "\nfor part in ('lib', 'lib.zip'): sys.path.insert(0, os.path.join(os.path.dirname(__file__), part))",
            "\nimport from_folder, from_zip",
        )
        folder = write_app(tmp_path / name, HEAD, *code, CALLED, "def f(x): return [from_folder.WORD, from_zip.WORD]")
        (folder / "lib").mkdir()
        (folder / "lib" / "from_folder.py").write_text(f"WORD = {name!r}")
        with zipfile.ZipFile(folder / "lib.zip", "w") as archive:
            archive.writestr("from_zip.py", f"WORD = {name!r}")
        assert await call(folder) == f'["{name}", "{name}"]'
    assert sys.path == path


@pytest.mark.parametrize("entry", ["{app}/shop", "shop"])
async def test_a_folder_that_the_app_puts_first_hides_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    """The layout of Django: the folder shop of the app has a package shop."""
    path = list(sys.path)
    code = f"import sys\nsys.path.insert(0, {entry.format(app=tmp_path.as_posix())!r})\nfrom shop.settings import WORD"
    folder = write_app(tmp_path, HEAD, code, CALLED, "def f(x): return WORD")
    package = folder / "shop" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "settings.py").write_text("WORD = 'inner'")
    monkeypatch.chdir(folder)
    assert await call(folder) == "inner"
    assert "shop" not in sys.modules
    assert sys.path == path


@pytest.mark.parametrize(
    ("name", "kind"),
    [("calendar", "module of Python"), ("yaml", "installed package")],
    ids=["standard library", "library"],
)
async def test_error_says_that_a_module_of_the_app_is_hidden(tmp_path: Path, name: str, kind: str) -> None:
    write_app(tmp_path, HEAD, f"from {name}.events import holidays")
    (tmp_path / name).mkdir()
    (tmp_path / name / "events.py").write_text("holidays = []")
    async with new_worker(tmp_path) as worker:
        with pytest.raises(AppLoadError) as failed:
            await worker.load()
    hint = f"The app has {tmp_path / name}, but Python uses the {kind} of the same name ("
    assert hint in str(failed.value)
