"""The functions that an app declares in its files: by decorators (v2 programming model) or in folders (v1)."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

import azure.functions as func

from emulator.check.resolving import Scope, constant_text, dotted_name
from emulator.check.sources import AppSources, Function, SourceFile, own_nodes
from emulator.worker.function_json import FunctionConfigurationError, function_folders, read_function
from emulator.worker.port import Binding, member_of

Kind = Literal["orchestrator", "activity", "entity", "other"]

_DURABLE_KINDS: Final[Mapping[str, Kind]] = {
    "orchestration_trigger": "orchestrator",
    "activity_trigger": "activity",
    "entity_trigger": "entity",
}
# Arguments of durable decorators that are the name by which the function is called, in lower case.
_NAME_ARGUMENTS: Final = ("orchestration", "activity", "entity_name", "entityname")
# By decorator: the parameters of azure-functions-durable, which need not be installed.
_DURABLE_PARAMETERS: Final[Mapping[str, Sequence[str]]] = {
    "orchestration_trigger": ("context_name", "orchestration", "input_type"),
    "activity_trigger": ("input_name", "activity"),
    "entity_trigger": ("context_name", "entity_name"),
    "durable_client_input": ("client_name", "task_hub", "connection_name"),
}
# Arguments of decorators whose value is the name of a parameter of the function.
_BOUND_NAMES: Final = ("arg_name", "trigger_arg_name", "input_name", "context_name", "client_name")
_APP_CLASSES: Final = ("FunctionApp", "DFApp", "Blueprint", "AsgiFunctionApp", "WsgiFunctionApp")
_CREATE: Final = ("azure.durable_functions.Orchestrator.create", "azure.durable_functions.Entity.create")
_TRIGGER_KINDS: Final[Mapping[str, Kind]] = {
    "orchestrationtrigger": "orchestrator",
    "activitytrigger": "activity",
    "entitytrigger": "entity",
}


@dataclass(frozen=True)
class Decorator:
    """A decorator of an app object or blueprint. `arguments`: by parameter name, unevaluated."""

    name: str
    node: ast.expr
    arguments: Mapping[str, ast.expr]

    @property
    def is_binding(self) -> bool:
        """Whether it adds a trigger, input or output."""
        return self.name == "route" or self.name.endswith(("_trigger", "_input", "_output", "_binding", "schedule"))


@dataclass(frozen=True)
class Declared:
    """A declared function. `name`: by which durable functions are called; None if it is not a constant.

    `function_name`: by which the host knows it, None if it is not a constant. `scope`: of the Python function.

    `bindings`: names of parameters that have a binding, each with the node that says so; None: they are not known.
    `clients`: parameters that are durable clients. `outside`: decorators of other libraries, outermost first, with
    whether one of the app's decorators is below.
    """

    name: str | None
    function_name: str | None
    kind: Kind
    scope: Scope
    decorators: Sequence[Decorator]
    bindings: Mapping[str, ast.AST] | None
    clients: Sequence[str]
    outside: Sequence[tuple[ast.expr, bool]] = ()
    has_other_bindings: bool = False

    @property
    def source(self) -> SourceFile:
        return self.scope.source

    @property
    def node(self) -> Function:
        return self.scope.function

    @property
    def shown_name(self) -> str:
        return self.name or self.node.name


def declared_functions(sources: AppSources) -> list[Declared]:
    """Return the functions that the files of an app declare. Registrations by plain calls are not found."""
    found = [each for source in sources.files for each in _of_file(source, sources)]
    return [*found, *_of_folders(sources)]


def registers_dynamically(sources: AppSources) -> bool:
    """Whether files of an app register durable functions by plain calls, whose names are not known here."""
    for source in sources.files:
        decorators = {id(call) for node in ast.walk(source.tree) for call in getattr(node, "decorator_list", ())}
        for node in ast.walk(source.tree):
            if (
                isinstance(node, ast.Call)
                and id(node) not in decorators
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in (*_DURABLE_PARAMETERS, "generic_trigger", "function_name")
            ):
                return True
    return False


def _of_file(source: SourceFile, sources: AppSources) -> Iterator[Declared]:
    apps = _app_names(source, sources)

    def visit(node: ast.AST, outer: Scope | None) -> Iterator[Declared]:
        for child in ast.iter_child_nodes(node):
            scope = outer
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                scope = Scope(sources, source, child, outer)
                declared = _declared(child, scope, apps)
                if declared is not None:
                    yield declared
            yield from visit(child, scope)

    yield from visit(source.tree, None)


def _app_names(source: SourceFile, sources: AppSources) -> frozenset[str]:
    """Return the names of variables of a file that are app objects or blueprints."""
    names = {
        target.id
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign) and _creates_app(node.value, source)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for name, dotted in source.imports.items():
        found = sources.definition(dotted)
        if found is not None and isinstance(found[1], (ast.Assign, ast.AnnAssign)):
            value = found[1].value
            if value is not None and _creates_app(value, found[0]):
                names.add(name)
    return frozenset(names)


def _creates_app(value: ast.AST, source: SourceFile) -> bool:
    name = dotted_name(value.func, source) if isinstance(value, ast.Call) else None
    return name is not None and name.startswith("azure.") and name.rpartition(".")[2] in _APP_CLASSES


@cache
def _parameters_of_decorators() -> Mapping[str, Sequence[str]]:
    """Return the parameters of all decorators by name."""
    found: dict[str, Sequence[str]] = {}
    for name, member in inspect.getmembers(func.FunctionApp, inspect.isfunction):
        if not name.startswith("_"):
            found[name] = list(inspect.signature(member).parameters)[1:]
    return {**found, **_DURABLE_PARAMETERS}


def _decorator(node: ast.expr, apps: frozenset[str]) -> Decorator | None:
    """Return a decorator of an app object; None for all others."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return None
    name, owner = node.func.attr, node.func.value
    parameters = _parameters_of_decorators().get(name)
    # Names of durable decorators are unmistakable; Flask has a `route`, too.
    is_app = name in _DURABLE_PARAMETERS or (isinstance(owner, ast.Name) and owner.id in apps)
    if parameters is None or not is_app:
        return None
    arguments = dict(zip(parameters, node.args, strict=False))
    arguments.update((keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg is not None)
    return Decorator(name, node, arguments)


def _declared(node: Function, scope: Scope, apps: frozenset[str]) -> Declared | None:
    found = [(each, _decorator(each, apps)) for each in node.decorator_list]
    decorators = [decorator for _, decorator in found if decorator is not None]
    if not decorators:
        return None
    kind: Kind = "other"
    for decorator in decorators:
        kind = _DURABLE_KINDS.get(decorator.name, kind)
        if decorator.name == "generic_trigger":
            trigger = constant_text(decorator.arguments.get("type"), scope.source, scope.sources)
            kind = _TRIGGER_KINDS.get((trigger or "").lower(), kind)
    name, function_name = _names(node, decorators, scope)
    clients = [decorator.arguments["client_name"] for decorator in decorators if "client_name" in decorator.arguments]
    bindings = _bindings(decorators, scope)
    outside = [
        (each, any(below is not None for _, below in found[index + 1 :]))
        for index, (each, decorator) in enumerate(found)
        if decorator is None
    ]
    others = [each for each in decorators if each.is_binding and each.name not in (*_DURABLE_KINDS, "generic_trigger")]
    if any(decorator.name == "generic_trigger" for decorator in decorators):
        scope = _created_in(scope) or scope
    texts = [constant_text(client, scope.source, scope.sources) for client in clients]
    return Declared(
        name,
        function_name,
        kind,
        scope,
        decorators,
        bindings,
        clients=[text for text in texts if text is not None],
        outside=outside,
        has_other_bindings=bool(others),
    )


def _names(node: Function, decorators: Sequence[Decorator], scope: Scope) -> tuple[str | None, str | None]:
    """Return the name by which a durable function is called, and the function's own; None: not a constant."""
    function_name: str | None = node.name
    called: str | None = ""
    for decorator in decorators:
        if decorator.name == "function_name":
            function_name = _given_name(decorator.arguments.get("name"), function_name, scope)
        elif decorator.name in (*_DURABLE_KINDS, "generic_trigger"):
            named = (value for name, value in decorator.arguments.items() if name.lower() in _NAME_ARGUMENTS)
            called = _given_name(next(named, None), "", scope)
    return (function_name if called == "" else called), function_name


def _bindings(decorators: Sequence[Decorator], scope: Scope) -> Mapping[str, ast.AST] | None:
    """Return the parameters that decorators bind; None if the names of some are not constants."""
    bindings: dict[str, ast.AST] = {}
    for decorator in decorators:
        if any(keyword.arg is None for keyword in getattr(decorator.node, "keywords", ())):
            return None
        if decorator.name == "route" and "trigger_arg_name" not in decorator.arguments:
            bindings["req"] = decorator.node
        for parameter in _BOUND_NAMES if decorator.is_binding else ():
            value = decorator.arguments.get(parameter)
            if value is None:
                continue
            text = constant_text(value, scope.source, scope.sources)
            if text is None:
                return None
            bindings[text] = decorator.node
    return bindings


def _created_in(scope: Scope) -> Scope | None:
    """Return the function `f` of `df.Orchestrator.create(f)` in a function that only wraps it."""
    for node in own_nodes(scope.function):
        if isinstance(node, ast.Call) and node.args and (scope.dotted(node.func) or "") in _CREATE:
            found = scope.app_function(node.args[0])
            return None if found is None else Scope(scope.sources, *found)
    return None


def _given_name(node: ast.expr | None, default: str | None, scope: Scope) -> str | None:
    """Return the name that an argument of a decorator gives: `default` without one, None if it is not a constant."""
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        return default
    return constant_text(node, scope.source, scope.sources)


def called_name(trigger: Binding | None, function_name: str) -> str:
    """Return the name by which a durable function is called: that of its trigger, else that of the function."""
    members = () if trigger is None else ("orchestration", "activity", "entityName")
    names = (member_of(trigger.properties, member) for member in members if trigger is not None)
    return next((name for name in names if isinstance(name, str) and name), function_name)


def _of_folders(sources: AppSources) -> Iterator[Declared]:
    """Functions of the v1 programming model. Orchestrators and entities are what their script creates them from."""
    files = {source.path: source for source in sources.files}
    for folder in function_folders(sources.root):
        try:
            declaration = read_function(folder)
        except FunctionConfigurationError:
            continue  # Reported when the app is loaded.
        source = files.get(declaration.script.absolute())
        if source is None:
            continue
        entry = source.definitions.get(declaration.entry_point)
        if isinstance(entry, ast.Assign) and isinstance(entry.value, ast.Call) and entry.value.args:
            # The entry point is what df.Orchestrator.create returns for the function that is wanted here.
            created = dotted_name(entry.value.args[0], source)
            found = sources.definition(created) if created else None
            if found is None:
                continue
            source, entry = found
        if not isinstance(entry, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        trigger = next((each.type.lower() for each in declaration.bindings if each.is_trigger), "")
        others = [each for each in declaration.bindings if not each.is_trigger]
        yield Declared(
            called_name(next((each for each in declaration.bindings if each.is_trigger), None), declaration.name),
            declaration.name,
            _TRIGGER_KINDS.get(trigger, "other"),
            Scope(sources, source, entry),
            (),
            None,
            # The client of the v1 model is a text, from which the function makes its client itself.
            clients=(),
            has_other_bindings=bool(others),
        )


def v1_script_files(root: Path) -> list[Path]:
    """Return the script of every function folder whose function.json can be read."""
    scripts = []
    for folder in function_folders(root):
        try:
            scripts.append(read_function(folder).script)
        except FunctionConfigurationError:
            continue
    return scripts


def binding_types(declared: Sequence[Declared], root: Path) -> set[str]:
    """Return the types of all bindings, as far as the files show them: for decorators their names."""
    types = {
        constant_text(decorator.arguments.get("type"), each.source, each.scope.sources) or ""
        if decorator.name.startswith("generic_")
        else decorator.name
        for each in declared
        for decorator in each.decorators
        if decorator.is_binding
    }
    for folder in function_folders(root):
        with suppress(FunctionConfigurationError):
            types |= {binding.type for binding in read_function(folder).bindings}
    return types - {""}
