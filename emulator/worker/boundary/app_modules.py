"""Modules of the app's folder: they are importable while the app is open, and forgotten afterwards."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from itertools import takewhile
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from emulator import own_modules
from emulator.own_modules import LIBRARY_FOLDERS, OWN_MODULES

# Releases of several packages, azure-functions-durable 1.7.0 among them, install their own tests and examples under
# these names. No app means those.
_NAMES_INSTALLED_BY_MISTAKE = frozenset(("benchmarks", "docs", "examples", "samples", "scripts", "tests"))
APP_NAMESPACE = "__app__"
"""The package of the app's folder, below which scripts of the v1 programming model are imported."""


class AppModules:
    """While entered, modules are imported from the app's folder; afterwards they are removed from sys.modules.

    An installed package of the same name takes precedence, as in the official worker, where the app's folder is the
    last entry of sys.path, except under names such as `tests`. Modules of the same names from another folder (of
    another app in this process) are hidden while this app is open, and restored afterwards. Modules of this folder that
    are already loaded are used as they are: a test that has imported and patched them sees its patches. If two apps are
    open at the same time, imports inside functions find the modules of the app that was opened last.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._finder = _AppFinder(root)
        self._path_entries: list[str] = []
        self._hidden: dict[str, _HiddenModule] = {}
        self._uses_own_name = False
        self._child_processes = ExitStack()

    def __enter__(self) -> AppModules:
        # A test may have written the app's files a moment ago; the import system caches directory listings.
        importlib.invalidate_caches()
        self._uses_own_name = self._finder.offers(own_modules.NAME)
        if self._uses_own_name:
            OWN_MODULES.release_name()
            self._child_processes.enter_context(_first_in_child_processes(self._root))
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
        self._finder.path_before = list(sys.path)
        sys.meta_path.insert(0, self._finder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.meta_path.remove(self._finder)
        added = self._entries_added_by_app()
        # Named before any of them is removed: the path of a namespace package is computed from that of its parent, and
        # fails without it.
        names = [
            name for name, module in _loaded_modules(self._finder.imported) if self._finder.has_loaded(name, module)
        ]
        if added:
            folders = [Path(entry).absolute() for entry in added]
            names += [name for name, module in sys.modules.copy().items() if _is_below(module, folders)]
        for name in names:
            sys.modules.pop(name, None)
        for entry in [*self._path_entries, *added]:
            # By identity: another app, or the user, may have added an equal entry.
            sys.path[:] = [other for other in sys.path if other is not entry]
        for name, hidden in self._hidden.items():
            # Modules of an app that was closed in the meantime must not come back.
            if hidden.finder is None or hidden.finder in sys.meta_path:
                sys.modules.setdefault(name, hidden.module)
        self._child_processes.close()
        if self._uses_own_name:
            OWN_MODULES.reclaim_name()

    def _entries_added_by_app(self) -> list[str]:
        """Return what the app has added to sys.path itself: its folders such as `lib`, or its zip files."""
        # Not folders of libraries: other code in the process may keep objects of modules that were loaded from there.
        return [
            entry
            for entry in sys.path
            if entry not in self._finder.path_before
            and self._root in Path(entry).absolute().parents
            and not any(part in LIBRARY_FOLDERS for part in Path(entry).parts)
        ]


def explain_hidden_module(root: Path, error: ImportError) -> None:
    """Add a note to the error if the app has a module of the missing name that Python does not use."""
    top = (error.name or "").partition(".")[0]
    own = next((path for path in (root / f"{top}.py", root / top) if top and path.exists()), None)
    used = sys.modules.get(top)
    if own is None or used is None or _is_below(used, [own]):
        return
    place = getattr(used, "__file__", None) or "built into Python"
    kind = "module of Python" if top in sys.stdlib_module_names else "installed package"
    error.add_note(f"The app has {own}, but Python uses the {kind} of the same name ({place}). Rename that of the app.")


@contextmanager
def _first_in_child_processes(root: Path) -> Iterator[None]:
    """Let processes that multiprocessing starts while entered find the modules of an app before azemu's.

    A process that is not forked gets only sys.path, where azemu's package may come first if it is installed.
    """
    from multiprocessing import spawn

    inherited = spawn.get_preparation_data

    def preparation_data(name: str) -> dict[str, Any]:
        data = inherited(name)
        return {**data, "sys_path": [str(root), *data["sys_path"]]}

    spawn.get_preparation_data = preparation_data
    try:
        yield
    finally:
        # Apps may be closed in any order; the function of one that is still open stays.
        if spawn.get_preparation_data is preparation_data:
            spawn.get_preparation_data = inherited


@dataclass(frozen=True, slots=True)
class _HiddenModule:
    """A module that was loaded from another folder. `finder`: that of the open app that has loaded it, if any."""

    module: ModuleType
    finder: _AppFinder | None


class _AppFinder(MetaPathFinder):
    """Finds the top-level modules in an app's folder, unless an installed package has the same name.

    sys.path alone is not enough: folders of other projects may come before the app's there (the tests' own folder, an
    editable install, another open app). `imported`: the top-level names that it has found so far. `path_before`:
    sys.path when the app was opened.
    """

    def __init__(self, root: Path) -> None:
        # Where Azure's build puts the dependencies (docs/protocol/python-worker.md 1.3).
        packages = root / ".python_packages" / "lib" / "site-packages"
        self.folders = [packages, root] if packages.is_dir() else [root]
        self.imported: set[str] = set()
        self.path_before: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # `path` is set for submodules; their package's own path finds them.
        if path is not None:
            return None
        if fullname == APP_NAMESPACE:
            # A namespace package, as the official worker creates it: `from __app__.shared import x` and, in a function
            # folder, `from ..shared import x` find the modules of the app's folder.
            namespace = ModuleSpec(fullname, None, is_package=True)
            namespace.submodule_search_locations = [str(self.folders[-1])]
            self.imported.add(fullname)
            return namespace
        if not self.offers(fullname):
            return None
        # What the app itself has put in front of sys.path comes first: `sys.path.insert(0, "site")` for the package
        # site/site of a Django project, which would otherwise be the folder `site` of the app.
        in_front = takewhile(lambda entry: entry not in self.path_before, sys.path)
        spec = PathFinder.find_spec(fullname, [*in_front, *(str(folder) for folder in self.folders)], target)
        if spec is not None:
            self.imported.add(fullname)
        return spec

    def top_level_names(self) -> set[str]:
        """Return a possible module name for every file and folder of the app."""
        names = {entry.stem for folder in self.folders if folder.is_dir() for entry in folder.iterdir()}
        return names | {APP_NAMESPACE}

    def has_loaded(self, name: str, module: ModuleType) -> bool:
        """Return whether the module was loaded from the app's folder while the app was open."""
        top = name.partition(".")[0]
        return top in self.imported and self._contains(top, module)

    def conflicts_with(self, name: str, module: ModuleType) -> bool:
        """Return whether a loaded module has the name of a module of the app but comes from elsewhere."""
        top = name.partition(".")[0]
        return (top == APP_NAMESPACE or self.offers(top)) and not self._contains(top, module)

    def offers(self, top: str) -> bool:
        """Return whether a top-level name is a module of the app."""
        if not any((folder / f"{top}.py").is_file() or (folder / top).is_dir() for folder in self.folders):
            return False
        if top in sys.builtin_module_names or top in sys.stdlib_module_names or top == "__main__":
            return False
        if top == own_modules.NAME:
            # azemu itself may be installed beside the app's requirements, which on Azure it is not. In a checkout of
            # azemu with an app in its root, the folder of that name is azemu.
            return not any((folder / top).resolve() == own_modules.FOLDER for folder in self.folders)
        if top in _NAMES_INSTALLED_BY_MISTAKE:
            return True
        libraries = [entry for entry in sys.path if Path(entry).name in LIBRARY_FOLDERS]
        try:
            return PathFinder.find_spec(top, libraries) is None
        except (ImportError, ValueError):
            # A broken or half-initialized library module of that name. The app's module is used instead.
            return True

    def _contains(self, top: str, module: ModuleType) -> bool:
        if top == APP_NAMESPACE:
            return _is_below(module, self.folders[-1:])
        # A package without __init__.py may have parts in several folders, the app's among them.
        return _is_below(module, [part for folder in self.folders for part in (folder / f"{top}.py", folder / top)])


def _is_below(module: ModuleType, places: Sequence[Path]) -> bool:
    """Return whether a module was loaded from one of these files or folders."""
    try:
        # A namespace package has no __file__, only a __path__.
        locations = [
            Path(text) for text in (getattr(module, "__file__", None), *getattr(module, "__path__", ())) if text
        ]
    except (KeyError, TypeError):
        # The path of a namespace package whose parent was removed from sys.modules, or an object that is not a module.
        return False
    return any(place in (location, *location.parents) for location in locations for place in places)


def _loaded_modules(tops: Set[str]) -> Sequence[tuple[str, ModuleType]]:
    """Return the loaded modules with these top-level names, including their submodules."""
    loaded = {top for top in tops if top in sys.modules}
    if not loaded:
        return ()
    # A copy, because importing threads may change sys.modules meanwhile.
    return [(name, module) for name, module in sys.modules.copy().items() if name.partition(".")[0] in loaded]
