"""Entry points of azemu: the command (`azemu`, `python -m azemu`) and the pytest plugin.

They are not in the package `emulator`, because the import path may lead to another package of that name: the app's,
if its folder comes first on it (PYTHONPATH, `python -m pytest`). Here azemu's package is found by its place.
"""

from __future__ import annotations

import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_NAME = "emulator"


def main() -> int:
    """Run the command line. Return the exit code."""
    # Until the command has its own handlers, Ctrl-C ends the process at once. Python's handler would print a traceback
    # of whatever module is being imported, so this module imports others only below. A program that runs in the
    # background ignores Ctrl-C from the start.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    code: int = _load(f"{_NAME}.cli.entry").main()
    return code


def __getattr__(name: str) -> Any:
    # Loaded when pytest asks for it: the command does not need pytest.
    if name == "pytest_plugin":
        return _load(f"{_NAME}.pytest_plugin")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _load(name: str) -> ModuleType:
    """Import a module of azemu's package."""
    import importlib
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    folder = Path(__file__).parent / _NAME
    present = sys.modules.get(_NAME)
    if present is not None and Path(present.__file__ or "").parent == folder:
        return importlib.import_module(name)
    # A test runner may have imported the app's package already.
    others = {other: module for other, module in sys.modules.copy().items() if other.partition(".")[0] == _NAME}
    for other in others:
        del sys.modules[other]
    spec = spec_from_file_location(_NAME, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert spec is not None
    assert spec.loader is not None
    sys.modules[_NAME] = package = module_from_spec(spec)
    spec.loader.exec_module(package)
    module = importlib.import_module(name)
    if others:
        own_modules = importlib.import_module(f"{_NAME}.own_modules")
        own_modules.OWN_MODULES.release_name()
        sys.modules.update(others)
    return module


if __name__ == "__main__":
    sys.exit(main())
