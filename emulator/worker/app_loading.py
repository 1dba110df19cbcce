"""Loading of a whole app: its script with an app object (v2 programming model), its function folders (v1), or both.

    with AppModules(root):
        loaded = load_app(root, script_name(settings), clock)

A script that cannot be imported fails the whole app. A mistake in one function fails only that function; for functions
of the script Azure is stricter and loads none.
Source: azure-functions-python-worker, loader.py, functions.py; host, WorkerFunctionMetadataProvider.cs;
docs/protocol/python-worker.md chapter 2.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import azure.functions as func

from emulator.app_paths import shown_path
from emulator.clock import Clock
from emulator.logs import get_logger
from emulator.worker.boundary.app_modules import APP_NAMESPACE
from emulator.worker.durable_version import check_functions, check_imported_version
from emulator.worker.failures import hints_of, load_failed
from emulator.worker.function_json import (
    FILE_NAME,
    FunctionConfigurationError,
    FunctionDeclaration,
    function_folders,
    read_function,
)
from emulator.worker.indexing import LoadedFunction, function_id, index, loaded_function
from emulator.worker.loader import import_app
from emulator.worker.mistakes import mistake_of, scripts_with_an_app, unregistered_blueprints
from emulator.worker.port import FunctionFailed, FunctionMetadata
from emulator.worker.sdk_patches import apply_sdk_patches
from emulator.worker.user_functions import source_of

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """What an app has. `app`: the app object of its script, None if it has no script.

    `functions`: those that can be called. `failures`: the errors of those that could not be loaded, by name.
    `metadata`: of both, and of those whose function.json is invalid.
    """

    app: func.FunctionRegister | None
    functions: Sequence[LoadedFunction]
    metadata: Sequence[FunctionMetadata]
    failures: Mapping[str, FunctionFailed]


def load_app(root: Path, script: str, clock: Clock) -> LoadedApp:
    """Import and index the app in the folder `root`. `script`: the file name of its script. Enter AppModules before.

    Raises what the script raises, what `import_app` and `index` raise, DurableVersionUnsupported and
    DurableVersionTooOld.
    """
    folders = function_folders(root)
    declarations = [_outcome_of(read_function, folder) for folder in folders]
    try:
        app = _import_script(root, script, folders)
        calls = [_outcome_of(_import_function, declaration, root) for declaration in declarations]
    finally:
        check_imported_version()
    # After the imports: only now it is known which library modules the app uses.
    apply_sdk_patches()
    functions, of_script = ([], ()) if app is None else index(app, root, clock)
    _warn_of_models(root, script, app, functions, folders)
    places = {
        metadata.name.lower(): metadata.source
        for metadata in (*(function.metadata for function in functions), *of_script)
    }
    rejected = [_Rejected(metadata) for metadata in of_script]
    for folder, declaration, call in zip(folders, declarations, calls, strict=True):
        loaded = _load_folder(folder, declaration, call, root, other_place=places.get(folder.name.lower()))
        if isinstance(loaded, LoadedFunction):
            functions.append(loaded)
        else:
            rejected.append(loaded)
    metadata = [*(function.metadata for function in functions), *(function.metadata for function in rejected)]
    check_functions(metadata)
    mistakes = [mistake for function in functions if (mistake := mistake_of(function.metadata, function.call))]
    for warning in [*mistakes, *(() if app is None else unregistered_blueprints(app, root))]:
        _log.warning("%s", warning)
    failures = {function.metadata.name: function.failure for function in rejected if function.failure is not None}
    return LoadedApp(app, functions, metadata, failures)


@dataclass(frozen=True, slots=True)
class _Rejected:
    """A function that cannot run. `failure`: what every call of it raises; None: the host leaves it out."""

    metadata: FunctionMetadata
    failure: FunctionFailed | None = None


def _warn_of_models(
    root: Path,
    script: str,
    app: func.FunctionRegister | None,
    functions: Sequence[LoadedFunction],
    folders: Sequence[Path],
) -> None:
    """Warn of an app that uses both programming models, or none. `functions`: those of the script."""
    if functions and folders:
        # The first sentence is the host's. A host on Azure does not look into the folders if the script has functions.
        _log.warning(
            "Detected mixed function app. Some functions may not be indexed - %s. azemu runs these functions beside "
            "those of %s; on Azure they do not run. Declare all functions in one of the two programming models.",
            ", ".join(folder.name for folder in folders),
            script,
        )
    if app is None and not folders:
        _log.warning(
            "There is no %s in %s. Declare the app's functions there (v2 programming model) or in folders with a "
            "function.json (v1 programming model), or set PYTHON_SCRIPT_FILE_NAME to the name of the file that "
            "declares them.%s",
            script,
            root,
            f" An app is in: {', '.join(others)}." if (others := scripts_with_an_app(root)) else "",
        )


def _import_script(root: Path, script: str, folders: Sequence[Path]) -> func.FunctionRegister | None:
    try:
        return import_app(root, script)
    except Exception as error:
        # On Azure, too, functions of folders do not run beside a script that cannot be loaded.
        if folders:
            error.add_note(
                f"The functions with a function.json ({', '.join(folder.name for folder in folders)}) do not run "
                f"either, because {script} is there. If the app uses the v1 programming model, delete or rename it."
            )
        raise


def _outcome_of(
    step: Callable[Arguments, Result], *arguments: Arguments.args, **options: Arguments.kwargs
) -> Result | BaseException:
    """Return the result, or the exception: one broken function must not keep the others from running."""
    try:
        return step(*arguments, **options)
    # A script that calls sys.exit() ends the official worker. Here it fails its own function only.
    except BaseException as error:
        return error


def _import_function(declaration: FunctionDeclaration | BaseException, root: Path) -> Callable[..., Any]:
    """Import the script as a module of the package __app__ and return its entry point.

    Raises `declaration` if it is an exception, what the script raises, and RuntimeError with the official worker's
    texts.
    """
    if isinstance(declaration, BaseException):
        raise declaration
    name, script, entry_point = declaration.name, declaration.script, declaration.entry_point
    try:
        relative = script.relative_to(root)
    except ValueError:
        raise RuntimeError(
            f"script path {script} is not relative to the specified directory {declaration.path.parent}"
        ) from None
    if script.suffix != ".py":
        raise RuntimeError(f"cannot load function {name}: invalid Python filename {script}")
    parts = [APP_NAMESPACE, *relative.with_suffix("").parts]
    # The package itself is the script's module. Importing __init__ below it would run the script a second time.
    module = importlib.import_module(".".join(parts[:-1] if parts[-1].lower() == "__init__" else parts))
    call: Callable[..., Any] | None = getattr(module, entry_point, None)
    if call is None or not callable(call):
        text = f"cannot load function {name}: function {entry_point}() is not present in {relative}"
        raise RuntimeError(text)
    return call


def _load_folder(
    folder: Path,
    declaration: FunctionDeclaration | BaseException,
    call: Callable[..., Any] | BaseException,
    root: Path,
    *,
    other_place: str | None,
) -> LoadedFunction | _Rejected:
    """Return the function of a folder. `declaration`, `call`: what reading and importing it has returned or raised.

    `other_place`: where the script declares a function of the same name; None: nowhere.
    """
    if isinstance(declaration, BaseException):
        return _Rejected(_metadata_of_invalid(folder, declaration))
    if other_place is not None:
        text = f"'{declaration.path}' declares the function a second time; the first is at {other_place}. Rename one."
        return _Rejected(_metadata_of_invalid(folder, FunctionConfigurationError(text)))
    for warning in declaration.warnings:
        _log.warning("%s", warning)
    loaded = _outcome_of(_check_function, declaration, root, call)
    if isinstance(loaded, LoadedFunction):
        return loaded
    failure = load_failed(loaded, list(sys.path))
    metadata = _metadata(declaration, root, source=str(declaration.path))
    return _Rejected(replace(metadata, load_error="\n".join([str(failure), *hints_of(loaded)])), failure)


def _check_function(
    declaration: FunctionDeclaration, root: Path, call: Callable[..., Any] | BaseException
) -> LoadedFunction:
    if isinstance(call, BaseException):
        raise call
    metadata = _metadata(declaration, root, source=source_of(call) or str(declaration.script))
    try:
        # The official worker has HTTP streaming for the v2 programming model only.
        return loaded_function(metadata, call, directory=metadata.directory, streaming=None)
    except Exception as error:
        error.add_note(
            f"The function is {declaration.name} at {metadata.source}, its bindings are in {declaration.path}."
        )
        raise


def _metadata(declaration: FunctionDeclaration, root: Path, *, source: str) -> FunctionMetadata:
    script = declaration.script
    return FunctionMetadata(
        name=declaration.name,
        id=function_id(declaration.name),
        bindings=declaration.bindings,
        retry=declaration.retry,
        script_file=shown_path(script, root),
        directory=str(declaration.path.parent),
        source=source,
        config=declaration.config,
        disabled=declaration.disabled,
    )


def _metadata_of_invalid(folder: Path, error: BaseException) -> FunctionMetadata:
    return FunctionMetadata(
        name=folder.name,
        id=function_id(folder.name),
        bindings=(),
        directory=str(folder),
        source=str(folder / FILE_NAME),
        configuration_error=str(error),
    )
