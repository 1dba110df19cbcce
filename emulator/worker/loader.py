"""Import of the app's script, and search for the app object in it.

    with AppModules(root):
        app = import_app(root, script_name(settings))

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

# azure-functions 1.11 has a first form of the v2 model: without blueprints, and without a base class of its apps.
_APP_TYPE: type[func.FunctionRegister] = getattr(func, "FunctionRegister", func.FunctionApp)

_OWN_PACKAGE = __name__.partition(".")[0]
_SCRIPT_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_\-]*\.py")
_LIBRARY_FOLDERS = ("site-packages", "dist-packages")


class InvalidFileNameError(Exception):
    """PYTHON_SCRIPT_FILE_NAME is not the name of a Python file. The class name is part of the official text."""


def script_name(settings: Mapping[str, str]) -> str:
    """Return the file name of the app's script. Raises InvalidFileNameError."""
    name = settings.get("PYTHON_SCRIPT_FILE_NAME") or DEFAULT_SCRIPT
    if _SCRIPT_NAME.fullmatch(name) is None:
        raise InvalidFileNameError(f"Invalid file name: {name}")
    return name


def import_app(root: Path, script: str) -> func.FunctionRegister | None:
    """Import the script and return its app object; None if there is no such script. Enter AppModules(root) before.

    Raises what the user's module raises; ValueError if the module has no app object or more than one.
    """
    if not (root / script).is_file():
        return None
    try:
        module = importlib.import_module(Path(script).stem)
    except SyntaxError as error:
        if error.filename is None:
            # For example "source code string cannot contain null bytes", which does not name the file.
            error.add_note(f"The error occurred while importing {root / script}.")
        raise
    apps = {name: value for name, value in vars(module).items() if isinstance(value, _APP_TYPE)}
    if not apps:
        raise ValueError("Could not find top level function app instances in function_app.py.")
    [(_, first), *others] = apps.items()
    if others:
        # Two names of the same object count as two, as in the official worker.
        kind = type(first).__name__
        ambiguous = ValueError(f"More than one {kind} or other top level function app instances are defined.")
        ambiguous.add_note(f"The names are {', '.join(apps)} in {module.__file__}.")
        raise ambiguous
    return first


class AppModules:
    """While entered, modules are imported from the app's folder; afterwards they are removed from sys.modules.

    An installed package of the same name takes precedence, as in the official worker, where the app's folder is the
    last entry of sys.path. Modules of the same names from another folder (of another app in this process) are hidden
    while this app is open, and restored afterwards. Modules of this folder that are already loaded are used as they
    are: a test that has imported and patched them sees its patches. If two apps are open at the same time, imports
    inside functions find the modules of the app that was opened last.
    """

    def __init__(self, root: Path) -> None:
        self._finder = _AppFinder(root)
        self._path_entries: list[str] = []
        self._hidden: dict[str, _HiddenModule] = {}

    def __enter__(self) -> AppModules:
        # A test may have written the app's files a moment ago; the import system caches directory listings.
        importlib.invalidate_caches()
        finders = [finder for finder in sys.meta_path if isinstance(finder, _AppFinder)]
        # Candidates come from one listing of the folder: checking the file system for each of the hundreds of loaded
        # modules would be slow.
        self._hidden = {
            name: _HiddenModule(module, next((finder for finder in finders if finder.has_loaded(name, module)), None))
            for name, module in _loaded_modules(self._finder.top_level_names())
            if self._finder.conflicts_with(name, module)
        }
        for name in self._hidden:
            del sys.modules[name]
        # The entries on sys.path are for code that looks there itself, such as pkgutil.
        self._path_entries = [str(path) for path in self._finder.folders]
        sys.path.extend(self._path_entries)
        sys.meta_path.insert(0, self._finder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.meta_path.remove(self._finder)
        for name, module in _loaded_modules(self._finder.imported):
            if self._finder.has_loaded(name, module):
                del sys.modules[name]
        for entry in self._path_entries:
            # By identity: another app, or the user, may have added an equal entry.
            sys.path[:] = [other for other in sys.path if other is not entry]
        for name, hidden in self._hidden.items():
            # Modules of an app that was closed in the meantime must not come back.
            if hidden.finder is None or hidden.finder in sys.meta_path:
                sys.modules.setdefault(name, hidden.module)


@dataclass(frozen=True, slots=True)
class _HiddenModule:
    """A module that was loaded from another folder. `finder`: that of the open app that has loaded it, if any."""

    module: ModuleType
    finder: _AppFinder | None


class _AppFinder(MetaPathFinder):
    """Finds the top-level modules in an app's folder, unless an installed package has the same name.

    sys.path alone is not enough: folders of other projects may come before the app's there (the tests' own folder, an
    editable install, another open app). `imported`: the top-level names that it has found so far.
    """

    def __init__(self, root: Path) -> None:
        # Where Azure's build puts the dependencies (docs/protocol/python-worker.md 1.3).
        packages = root / ".python_packages" / "lib" / "site-packages"
        self.folders = [packages, root] if packages.is_dir() else [root]
        self.imported: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # `path` is set for submodules; their package's own path finds them.
        if path is not None or not self._offers(fullname):
            return None
        spec = PathFinder.find_spec(fullname, [str(folder) for folder in self.folders], target)
        if spec is not None:
            self.imported.add(fullname)
        return spec

    def top_level_names(self) -> set[str]:
        """Return a possible module name for every file and folder of the app."""
        return {entry.stem for folder in self.folders if folder.is_dir() for entry in folder.iterdir()}

    def has_loaded(self, name: str, module: ModuleType) -> bool:
        """Return whether the module was loaded from the app's folder while the app was open."""
        top = name.partition(".")[0]
        return top in self.imported and self._contains(top, module)

    def conflicts_with(self, name: str, module: ModuleType) -> bool:
        """Return whether a loaded module has the name of a module of the app but comes from elsewhere."""
        top = name.partition(".")[0]
        return self._offers(top) and not self._contains(top, module)

    def _offers(self, top: str) -> bool:
        if not any((folder / f"{top}.py").is_file() or (folder / top).is_dir() for folder in self.folders):
            return False
        if top in sys.builtin_module_names or top in sys.stdlib_module_names or top in ("__main__", _OWN_PACKAGE):
            return False
        libraries = [entry for entry in sys.path if Path(entry).name in _LIBRARY_FOLDERS]
        try:
            return PathFinder.find_spec(top, libraries) is None
        except (ImportError, ValueError):
            # A broken or half-initialized library module of that name. The app's module is used instead.
            return True

    def _contains(self, top: str, module: ModuleType) -> bool:
        # A namespace package has no __file__, only a __path__.
        locations = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        location = next((Path(text) for text in locations if text), None)
        return location is not None and any(
            location == folder / f"{top}.py" or folder / top in (location, *location.parents) for folder in self.folders
        )


def _loaded_modules(tops: Set[str]) -> Sequence[tuple[str, ModuleType]]:
    """Return the loaded modules with these top-level names, including their submodules."""
    loaded = {top for top in tops if top in sys.modules}
    if not loaded:
        return ()
    # A copy, because importing threads may change sys.modules meanwhile.
    return [(name, module) for name, module in sys.modules.copy().items() if name.partition(".")[0] in loaded]
