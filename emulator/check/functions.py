"""The functions that an app declares in its files: by decorators (v2 programming model) or in folders (v1)."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from emulator.check.decorators import DURABLE_DECORATORS, Decorator, app_names, read_decorator
from emulator.check.resolving import Scope, constant_text, dotted_name
from emulator.check.sources import AppSources, SourceFile
from emulator.check.syntax import Function, own_nodes
from emulator.extensions.durable.functions import TRIGGERS, name_of
from emulator.worker.function_json import (
    FunctionConfigurationError,
    FunctionDeclaration,
    function_folders,
    read_function,
)
from emulator.worker.port import Binding, member_of

Kind = Literal["orchestrator", "activity", "entity", "other"]

KINDS: Final[Mapping[str, Kind]] = {
    "orchestrationtrigger": "orchestrator",
    "activitytrigger": "activity",
    "entitytrigger": "entity",
}
"""What a function is, by the type of its trigger in lower case. All others are "other"."""

_DURABLE_TRIGGERS: Final = ("orchestration_trigger", "activity_trigger", "entity_trigger", "generic_trigger")
# Arguments of durable triggers that are the name by which the function is called, in lower case.
_NAME_ARGUMENTS: Final = ("orchestration", "activity", "entity_name", "entityname")
# Arguments of decorators whose value is the name of a parameter of the function.
_BOUND_NAMES: Final = ("arg_name", "trigger_arg_name", "input_name", "context_name", "client_name")
_CREATE: Final = ("azure.durable_functions.Orchestrator.create", "azure.durable_functions.Entity.create")


@dataclass(frozen=True, kw_only=True)
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
    decorators: Sequence[Decorator] = ()
    bindings: Mapping[str, ast.AST] | None = None
    clients: Sequence[str] = ()
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
    found = []
    for source in sources.files:
        apps = app_names(source, sources)
        # Also functions inside of functions, such as those of a function that builds the app.
        waiting: list[tuple[ast.AST, Scope | None]] = [(source.tree, None)]
        while waiting:
            node, outer = waiting.pop()
            scope = outer
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                scope = Scope(sources, source, node, outer)
                declared = declared_function(scope, apps)
                found += [] if declared is None else [declared]
            waiting += [(child, scope) for child in ast.iter_child_nodes(node)]
    return [*found, *functions_of_folders(sources)]


def registers_dynamically(sources: AppSources) -> bool:
    """Whether files of an app register durable functions by plain calls, whose names are not known here."""
    registering = (*DURABLE_DECORATORS, "generic_trigger", "function_name")
    nodes = [node for source in sources.files for node in ast.walk(source.tree)]
    decorators = {id(call) for node in nodes for call in getattr(node, "decorator_list", ())}
    calls = [node for node in nodes if isinstance(node, ast.Call) and id(node) not in decorators]
    return any(isinstance(call.func, ast.Attribute) and call.func.attr in registering for call in calls)


def declared_function(scope: Scope, apps: Collection[str]) -> Declared | None:
    """Return what the decorators of a function declare; None if none is of an app. `apps`: names of app objects."""
    found = [(each, read_decorator(each, apps)) for each in scope.function.decorator_list]
    decorators = [decorator for _, decorator in found if decorator is not None]
    if not decorators:
        return None
    trigger = next((each for each in decorators if each.name in _DURABLE_TRIGGERS), None)
    named = [each.arguments["name"] for each in decorators if each.name == "function_name" and "name" in each.arguments]
    function_name = constant_text(named[-1], scope.source, scope.sources) if named else scope.function.name
    kind: Kind = "other"
    name, inside = function_name, scope
    if trigger is not None and trigger.name == "generic_trigger":
        kind = KINDS.get(
            (constant_text(trigger.arguments.get("type"), scope.source, scope.sources) or "").lower(), kind
        )
        # Such a function gets the context as text, and creates the orchestrator itself.
        inside = created_function(scope) or scope
    elif trigger is not None:
        kind = KINDS[trigger.name.replace("_", "")]
    if trigger is not None:
        given = [value for key, value in trigger.arguments.items() if key.lower() in _NAME_ARGUMENTS]
        if given and not (isinstance(given[0], ast.Constant) and given[0].value is None):
            name = constant_text(given[0], scope.source, scope.sources)
    clients = [each.arguments["client_name"] for each in decorators if "client_name" in each.arguments]
    texts = [constant_text(client, scope.source, scope.sources) for client in clients]
    return Declared(
        name=name,
        function_name=function_name,
        kind=kind,
        scope=inside,
        decorators=decorators,
        bindings=bound_parameters(decorators, scope),
        clients=[text for text in texts if text is not None],
        outside=[
            (each, any(below is not None for _, below in found[index + 1 :]))
            for index, (each, decorator) in enumerate(found)
            if decorator is None
        ],
        has_other_bindings=any(each.is_binding for each in decorators if each is not trigger),
    )


def bound_parameters(decorators: Sequence[Decorator], scope: Scope) -> Mapping[str, ast.AST] | None:
    """Return the parameters that decorators bind, each with its decorator; None if that is not known."""
    bindings: dict[str, ast.AST] = {}
    for decorator in decorators:
        if not decorator.is_understood:
            return None
        if decorator.name == "route" and "trigger_arg_name" not in decorator.arguments:
            bindings["req"] = decorator.node
        for value in [decorator.arguments[each] for each in _BOUND_NAMES if each in decorator.arguments]:
            text = constant_text(value, scope.source, scope.sources)
            if text is None:
                return None
            bindings[text] = decorator.node
    return bindings


def created_function(scope: Scope) -> Scope | None:
    """Return the function `f` of `df.Orchestrator.create(f)` in a function that only wraps it; None without it."""
    for node in own_nodes(scope.function):
        if isinstance(node, ast.Call) and node.args and (scope.dotted(node.func) or "") in _CREATE:
            found = scope.app_function(node.args[0])
            return None if found is None else Scope(scope.sources, *found)
    return None


def called_name(trigger: Binding | None, function_name: str) -> str:
    """Return the name by which a durable function is called: that of its trigger, else that of the function."""
    kind = None if trigger is None else TRIGGERS.get(trigger.type.lower())
    return function_name if trigger is None or kind is None else name_of(kind, function_name, trigger)


def functions_of_folders(sources: AppSources) -> Iterator[Declared]:
    """Yield the functions of the v1 programming model whose Python function is found."""
    files = {source.path: source for source in sources.files}
    for declaration in declarations_of(sources.root):
        source = files.get(declaration.script.absolute())
        entry = None if source is None else source.definitions.get(declaration.entry_point)
        if source is None or entry is None:
            continue
        if isinstance(entry, ast.Assign) and isinstance(entry.value, ast.Call) and entry.value.args:
            # The entry point is what df.Orchestrator.create returns for the function that is wanted here.
            created = dotted_name(entry.value.args[0], source)
            found = sources.definition(created) if created else None
            source, entry = found if found is not None else (source, entry)
        if not isinstance(entry, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        scope = Scope(sources, source, entry)
        trigger = next((each for each in declaration.bindings if each.is_trigger), None)
        yield Declared(
            name=called_name(trigger, declaration.name),
            function_name=declaration.name,
            kind=KINDS.get("" if trigger is None else trigger.type.lower(), "other"),
            scope=created_function(scope) or scope,
            # The client of the v1 model is a text, from which the function makes its client itself.
            clients=(),
            has_other_bindings=any(each is not trigger for each in declaration.bindings),
        )


def declarations_of(root: Path) -> list[FunctionDeclaration]:
    """Return what the function.json files of an app say. Invalid ones are reported when the app is loaded."""
    found = []
    for folder in function_folders(root):
        with suppress(FunctionConfigurationError):
            found.append(read_function(folder))
    return found


def trigger_sources(sources: AppSources, trigger: str, member: str) -> dict[str, str]:
    """Return what functions listen on by their names, as far as the files show it, with `%NAME%` unresolved.

    `trigger`, `member`: of a binding, such as queueTrigger and queueName.
    """
    found = {
        declaration.name: str(member_of(binding.properties, member))
        for declaration in declarations_of(sources.root)
        for binding in declaration.bindings
        if binding.type.lower() == trigger.lower() and member_of(binding.properties, member)
    }

    def plain(name: str) -> str:
        # Decorators have the same names in another spelling: queue_trigger(queue_name=…).
        return name.replace("_", "").lower()

    for each in declared_functions(sources):
        for decorator in each.decorators:
            values = [value for name, value in decorator.arguments.items() if plain(name) == plain(member)]
            text = constant_text(values[0], each.source, each.scope.sources) if values else None
            if plain(decorator.name) == plain(trigger) and text is not None:
                found[each.function_name or each.node.name] = text
    return found


def binding_types(declared: Sequence[Declared], root: Path) -> set[str]:
    """Return the types of all bindings, as far as the files show them: for decorators their names."""
    types = {binding.type for declaration in declarations_of(root) for binding in declaration.bindings}
    for each in declared:
        for decorator in each.decorators:
            if decorator.name.startswith("generic_"):
                types.add(constant_text(decorator.arguments.get("type"), each.source, each.scope.sources) or "")
            elif decorator.is_binding:
                types.add(decorator.name)
    return types - {""}
