"""Coexistence of azemu's package with a package or module of the app that has the same name, `emulator`.

Python keeps one module per name in sys.modules. While an app with such a package is open (or its tests are collected),
sys.modules holds the app's modules, so that pickle, dataclasses, mock.patch and importlib work for the app as on Azure.
azemu's own modules are then kept here, and import statements in azemu's files get them from here:

    OWN_MODULES.release_name()     # from now on `emulator` is the app's, except for azemu's files
    OWN_MODULES.reclaim_name()

Submodules that the app's package does not have still are azemu's: tests of such an app can import `emulator.testing`.
While no app uses the name, nothing of this is active, and imports take their normal way.
"""

from __future__ import annotations

import builtins
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

LIBRARY_FOLDERS: Final = ("site-packages", "dist-packages")
"""Names of folders into which packages are installed."""

NAME: Final = __name__.partition(".")[0]
FOLDER: Final = Path(__file__).resolve().parent

# Not resolved, because the names of modules' files are not: the package may be installed through a symbolic link.
PREFIX: Final = f"{Path(__file__).parent}{os.sep}"


class OwnModules:
    """The modules of azemu's package. One object per process: OWN_MODULES."""

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._released = False
        # Several apps with such a package may be open at the same time.
        self._releases = 0
        # Reentrant, because a module that is loaded imports others.
        self._lock = threading.RLock()
        self._loading: set[str] = set()
        self._finder = _Finder(self)
        self._previous_import = builtins.__import__

    def release_name(self) -> None:
        """Remove azemu's modules from sys.modules, so that another package can have their names."""
        with self._lock:
            self._releases += 1
            if self._released:
                return
            self._modules = {
                name: module
                for name, module in sys.modules.copy().items()
                if name.partition(".")[0] == NAME and is_own(module)
            }
            # First the ways to azemu's modules, then the removal: other threads may import at any moment.
            self._released = True
            self._previous_import = builtins.__import__
            builtins.__import__ = self._import
            sys.meta_path.insert(0, self._finder)
            for name in self._modules:
                sys.modules.pop(name, None)

    def reclaim_name(self) -> None:
        """Restore azemu's modules in sys.modules after the last `release_name`, unless others still use their names."""
        with self._lock:
            self._releases -= 1
            current = sys.modules.get(NAME)
            if self._releases or (current is not None and not is_own(current)):
                return
            for name, module in self._modules.items():
                sys.modules.setdefault(name, module)
            self._released = False
            sys.meta_path.remove(self._finder)
            # If a library has replaced the function too, it calls this one, which then only passes the call on.
            if builtins.__import__ == self._import:
                builtins.__import__ = self._previous_import

    def load(self, name: str) -> ModuleType:
        """Return azemu's module of this name; load it if necessary. Raises ModuleNotFoundError."""
        module = self._modules.get(name)
        if module is not None and name not in self._loading:
            return module
        with self._lock:
            if name in self._modules:
                return self._modules[name]
            parent, _, child = name.rpartition(".")
            package = self.load(parent)
            spec = PathFinder.find_spec(name, getattr(package, "__path__", []))
            if spec is None or spec.loader is None:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            module = self._modules[name] = module_from_spec(spec)
            self._loading.add(name)
            # The decorator of dataclasses looks for the module of its class in sys.modules.
            visible = sys.modules.setdefault(name, module) is module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del self._modules[name]
                raise
            finally:
                self._loading.discard(name)
                if visible and sys.modules.get(name) is module:
                    del sys.modules[name]
            setattr(package, child, module)
            return module

    def globals_of(self, cls: type) -> Mapping[str, Any]:
        """Return the global names of the module that defines one of azemu's classes."""
        module = self._modules.get(cls.__module__) if self._released else None
        return vars(module or sys.modules[cls.__module__])

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Replace `builtins.__import__`: import statements in azemu's files get azemu's modules."""
        is_own_name = self._released and level == 0 and name.partition(".")[0] == NAME
        if not is_own_name or globals is None or not str(globals.get("__file__")).startswith(PREFIX):
            return self._previous_import(name, globals, locals, fromlist or (), level)
        module = self.load(name)
        if not fromlist:
            return self.load(NAME)
        for member in fromlist if hasattr(module, "__path__") else ():
            if not hasattr(module, member):
                try:
                    self.load(f"{name}.{member}")
                except ModuleNotFoundError as error:
                    # Neither an attribute nor a submodule: the import statement itself raises the usual error.
                    if error.name != f"{name}.{member}":
                        raise
        return module


class _Finder(MetaPathFinder):
    """Finds modules below `emulator` for all code but azemu's: those on sys.path first, then azemu's."""

    def __init__(self, own: OwnModules) -> None:
        self._own = own

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != NAME:
            return None
        if path is None:
            # Open apps have finders of their own before this one. What is left are tests that import the package of
            # their app, which pytest has put on sys.path.
            path = [entry for entry in sys.path if Path(entry).resolve() != FOLDER.parent]
            spec = PathFinder.find_spec(fullname, path, target)
        elif is_own(sys.modules[fullname.rpartition(".")[0]]):
            spec = None
        else:
            spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            return spec
        try:
            module = self._own.load(fullname)
        except ModuleNotFoundError:
            return None
        return ModuleSpec(fullname, _LoadedModule(module), is_package=hasattr(module, "__path__"))


class _LoadedModule(Loader):
    """Loader that returns a module which is loaded already."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just given it the spec of this loader.
        module.__spec__ = self._spec


def remove_checkout_from_path() -> None:
    """Remove the folder that contains azemu's package from sys.path if it is a checkout of azemu.

    An editable install puts it there. The app must not find folders of the checkout, such as `tests` and `samples`.
    azemu's package is loaded already, so its modules are still found.
    """
    if FOLDER.parent.name not in LIBRARY_FOLDERS:
        sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != FOLDER.parent]


def is_own(module: ModuleType) -> bool:
    """Return whether a module is one of azemu's."""
    return str(getattr(module, "__file__", None)).startswith(PREFIX)


OWN_MODULES = OwnModules()
