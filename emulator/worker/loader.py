"""Import the app's script and find the app object in it.

    with AppModules(root):
        app = import_app(root, settings)

Source of rules and texts: docs/protocol/python-worker.md 2.1.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType, TracebackType

import azure.functions as func

DEFAULT_SCRIPT = "function_app.py"

_OURSELVES = __name__.partition(".")[0]
_SCRIPT_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_\-]*\.py")


class InvalidFileNameError(Exception):
    """PYTHON_SCRIPT_FILE_NAME is not the name of a Python file. The class name is part of the official text."""


def script_name(settings: Mapping[str, str]) -> str:
    """Raises InvalidFileNameError."""
    name = settings.get("PYTHON_SCRIPT_FILE_NAME") or DEFAULT_SCRIPT
    if _SCRIPT_NAME.fullmatch(name) is None:
        raise InvalidFileNameError(f"Invalid file name: {name}")
    return name


def import_app(root: Path, script: str) -> func.FunctionRegister | None:
    """The script's only app object, or None when there is no such script. Enter AppModules(root) before.

    Raises whatever the user's module raises; ValueError when it has no app object or several.
    """
    if not (root / script).is_file():
        return None
    try:
        module = importlib.import_module(Path(script).stem)
    except SyntaxError as error:
        if error.filename is None:
            error.add_note(f"It was found while importing {root / script}.")
        raise
    return _only_app(module)


def _only_app(module: ModuleType) -> func.FunctionRegister:
    apps = {name: value for name, value in vars(module).items() if isinstance(value, func.FunctionRegister)}
    if not apps:
        raise ValueError("Could not find top level function app instances in function_app.py.")
    [(_, first), *others] = apps.items()
    if others:
        # Two names of one object count as two, as in the official worker.
        kind = type(first).__name__
        error = ValueError(f"More than one {kind} or other top level function app instances are defined.")
        error.add_note(f"They are the names {', '.join(apps)} in {module.__file__}.")
        raise error
    return first


class AppModules:
    """While entered, the app's folder can be imported from, and its modules are the ones that are found.

    An installed package of the same name wins, as in the official worker, where the folder is last on sys.path.
    Modules of the same names that another folder brought in (another app in this process) are put aside and come back
    at the end. Modules of this very folder that are loaded already are used as they are: a test that imported and
    patched them sees its patches. Of two apps open at the same time, imports inside functions find the later one's.
    """

    def __init__(self, root: Path) -> None:
        self._finder = _AppFinder(root)
        self._entries: list[str] = []
        self._put_aside: dict[str, _PutAside] = {}

    def __enter__(self) -> AppModules:
        importlib.invalidate_caches()
        others = [finder for finder in sys.meta_path if isinstance(finder, _AppFinder)]
        # One look at the folder instead of one for each of the many loaded modules.
        self._put_aside = {
            name: _PutAside(module, next((other for other in others if other.loaded(name, module)), None))
            for name, module in _loaded_below(self._finder.top_names())
            if self._finder.is_namesake(name, module)
        }
        for name in self._put_aside:
            del sys.modules[name]
        self._entries = [str(path) for path in self._finder.folders]
        sys.path.extend(self._entries)
        sys.meta_path.insert(0, self._finder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.meta_path.remove(self._finder)
        for name, module in _loaded_below(self._finder.served):
            if self._finder.loaded(name, module):
                del sys.modules[name]
        for entry in self._entries:
            # By identity: an equal entry may belong to somebody else.
            sys.path[:] = [other for other in sys.path if other is not entry]
        for name, aside in self._put_aside.items():
            if aside.app is None or aside.app in sys.meta_path:
                sys.modules.setdefault(name, aside.module)


@dataclass(frozen=True, slots=True)
class _PutAside:
    """A module of somebody else. `app`: the open app that loaded it, which may end before it would come back."""

    module: ModuleType
    app: _AppFinder | None


class _AppFinder(MetaPathFinder):
    """Finds the top-level modules of an app's folder, unless something installed has the name.

    sys.path alone cannot do it: other projects' folders may come before the app's (the tests' own, an editable
    install, another open app's). `served`: the names it was asked for and found.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        # Where Azure's build puts the dependencies (docs/protocol/python-worker.md 1.3).
        packages = root / ".python_packages" / "lib" / "site-packages"
        self.folders = [packages, root] if packages.is_dir() else [root]
        self.served: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or not self._offers(fullname):
            return None
        spec = PathFinder.find_spec(fullname, [str(folder) for folder in self.folders], target)
        if spec is not None:
            self.served.add(fullname)
        return spec

    def loaded(self, name: str, module: ModuleType) -> bool:
        """Whether the module came from here while the app was open."""
        top = name.partition(".")[0]
        return top in self.served and self._owns(top, module)

    def top_names(self) -> set[str]:
        """What a top-level module of the app could be called: a name for every file and folder there is."""
        return {entry.stem for folder in self.folders if folder.is_dir() for entry in folder.iterdir()}

    def is_namesake(self, name: str, module: ModuleType) -> bool:
        """Whether a loaded module stands where a module of the app would have to stand."""
        top = name.partition(".")[0]
        return self._offers(top) and not self._owns(top, module)

    def _offers(self, top: str) -> bool:
        return any((folder / f"{top}.py").is_file() or (folder / top).is_dir() for folder in self.folders) and not (
            _is_installed(top)
        )

    def _owns(self, top: str, module: ModuleType) -> bool:
        place = _place(module)
        return place is not None and any(
            place == folder / f"{top}.py" or folder / top in (place, *place.parents) for folder in self.folders
        )


def _loaded_below(tops: Set[str]) -> Sequence[tuple[str, ModuleType]]:
    """The loaded modules with these top-level names, and what is in them."""
    there = {top for top in tops if top in sys.modules}
    if not there:
        return ()
    return [(name, module) for name, module in sys.modules.copy().items() if name.partition(".")[0] in there]


def _is_installed(top: str) -> bool:
    if top in sys.builtin_module_names or top in sys.stdlib_module_names or top in ("__main__", _OURSELVES):
        return True
    try:
        return PathFinder.find_spec(top, _library_folders()) is not None
    except (ImportError, ValueError):
        return False


def _library_folders() -> list[str]:
    return [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]


def _place(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    if file:
        return Path(file)
    for path in getattr(module, "__path__", ()):
        return Path(path)
    return None
