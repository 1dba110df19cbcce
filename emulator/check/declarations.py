"""Rules about how functions are declared, and about the names by which durable functions are called."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from emulator.check.findings import Finding
from emulator.check.functions import Declared, Kind
from emulator.check.resolving import constant_text, dotted_name
from emulator.check.sources import AppSources, SourceFile
from emulator.check.syntax import is_generator, own_nodes, parameters_of

# By method: the kind of function that its argument names.
_CALLS: Final[Mapping[str, Kind]] = {
    "call_activity": "activity",
    "call_activity_with_retry": "activity",
    "call_sub_orchestrator": "orchestrator",
    "call_sub_orchestrator_with_retry": "orchestrator",
    "start_new": "orchestrator",
}
_NAME_KEYWORDS: Final = ("name", "orchestration_function_name")
_LIKENESS: Final = 0.6


@dataclass(frozen=True, slots=True)
class NameUse:
    """A place that names a durable function. `text`: None if the name is not a constant.

    `is_start`: a client starts it, perhaps in the task hub of another app.
    """

    source: SourceFile
    node: ast.AST
    kind: Kind
    text: str | None
    is_start: bool = False


def binding_findings(declared: Declared) -> Iterator[Finding]:
    """Yield findings about parameters and bindings of a function that do not fit each other."""
    bindings, node, source = declared.bindings, declared.node, declared.source
    name = declared.shown_name
    if declared.kind in ("orchestrator", "entity"):
        for decorator in declared.decorators:
            given = constant_text(decorator.arguments.get("context_name"), source, declared.scope.sources)
            if given is not None and given != "context":
                yield source.finding(
                    "AZ401",
                    decorator.node,
                    f"The context_name of '{name}' is '{given}', and must be 'context': the durable SDK calls the "
                    "function with a parameter of this name. The function's own parameter may have any name.",
                )
        return
    # Another decorator may change the parameters.
    if bindings is None or declared.outside or node.args.kwarg is not None or node.args.vararg is not None:
        return
    parameters = parameters_of(node)
    for bound, where in bindings.items():
        if bound not in parameters and bound != "$return":
            near = difflib.get_close_matches(bound, parameters, n=1, cutoff=_LIKENESS)
            hint = f" Did you mean '{near[0]}'?" if near else f" It has: {', '.join(parameters) or 'no parameters'}."
            yield source.finding("AZ401", where, f"The function '{name}' has no parameter '{bound}'.{hint}")
    for parameter in parameters:
        if parameter not in bindings and parameter != "context":
            yield source.finding(
                "AZ402",
                node,
                f"The parameter '{parameter}' of the function '{name}' has no binding, so the function cannot be "
                "loaded. Add a decorator for it, or remove it.",
            )


def declaration_findings(declared: Declared, declared_nodes: Mapping[int, Declared]) -> Iterator[Finding]:
    """Yield further findings about one function. `declared_nodes`: all functions by the id of their node."""
    node, source, name = declared.node, declared.source, declared.shown_name
    if declared.kind == "orchestrator":
        if declared.has_other_bindings:
            yield source.finding(
                "AZ211",
                node,
                f"The orchestrator '{name}' has a binding besides its trigger. Bindings are read and written at every "
                "replay: use them in activities, and clients in the functions that start orchestrators.",
            )
        yield from direct_call_findings(declared, declared_nodes)
    elif declared.kind == "entity" and (isinstance(node, ast.AsyncFunctionDef) or is_generator(node)):
        yield source.finding(
            "AZ309",
            node,
            f"The entity '{name}' is an async function or has a yield. The durable SDK calls entities as plain "
            "functions, so its code does not run. Write def, without await and yield.",
        )
    elif declared.kind == "activity" and is_generator(node):
        yield source.finding(
            "AZ310", node, f"The activity '{name}' has a yield, and a generator is not JSON. Return a list instead."
        )
    # The wrapper that the SDK puts around such a function is a coroutine function, which awaits the result.
    if (
        declared.clients
        # What it gets from an async function of the app can be awaited, too.
        and not any(isinstance(each, ast.AsyncFunctionDef) for each in declared.scope.returned_functions())
        and declared.kind in ("activity", "other")
        and isinstance(node, ast.FunctionDef)
        and not declared.outside
    ):
        yield source.finding(
            "AZ406",
            node,
            f"The function '{name}' has a durable client, so the durable SDK awaits it. Write async def.",
        )
    for decorator, is_above in declared.outside:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        # `@something.route(…)` may be of an app object that is not recognised.
        if is_above and isinstance(called, ast.Name) and (shown := dotted_name(called, source)):
            yield source.finding(
                "AZ408",
                decorator,
                f"@{shown} is above decorators of the app, which have registered the function '{name}' without it. "
                "Put it directly above def.",
            )


def direct_call_findings(orchestrator: Declared, declared_nodes: Mapping[int, Declared]) -> Iterator[Finding]:
    """Yield calls of an orchestrator that run a durable function at once, as part of the orchestrator."""
    for node in own_nodes(orchestrator.node):
        found = orchestrator.scope.app_function(node.func) if isinstance(node, ast.Call) else None
        called = None if found is None else declared_nodes.get(id(found[1]))
        if called is not None and called.kind in ("activity", "orchestrator"):
            method = "call_activity" if called.kind == "activity" else "call_sub_orchestrator"
            yield orchestrator.source.finding(
                "AZ308",
                node,
                f"The {called.kind} '{called.shown_name}' is called as a plain function. Write: "
                f'yield context.{method}("{called.shown_name}", …).',
            )


def name_uses(sources: AppSources) -> list[NameUse]:
    """Return all places in the app that name an orchestrator, activity or entity."""
    found = []
    for source in sources.files:
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call):
                continue
            method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            kind = _CALLS.get(method)
            # Other objects may have a method start_new, and base classes of apps a method call_activity.
            owner = ast.unparse(node.func.value).lower() if isinstance(node.func, ast.Attribute) else ""
            if owner == "self" or (method == "start_new" and "client" not in owner and "starter" not in owner):
                kind = None
            if (dotted_name(node.func, source) or "").rpartition(".")[::2] == ("azure.durable_functions", "EntityId"):
                kind = "entity"
            keywords = (each.value for each in node.keywords if each.arg in _NAME_KEYWORDS)
            named = node.args[0] if node.args else next(keywords, None)
            # The SDK also takes the decorated function itself.
            if kind is not None and named is not None and not is_function(named, source, sources):
                text = constant_text(named, source, sources)
                found.append(NameUse(source, named, kind, text, is_start=method == "start_new"))
    return found


def is_function(node: ast.expr, source: SourceFile, sources: AppSources) -> bool:
    """Whether an expression names a function of the app."""
    name = dotted_name(node, source)
    found = None if name is None else sources.definition(name)
    return found is not None and isinstance(found[1], (ast.FunctionDef, ast.AsyncFunctionDef))


def unknown_names(uses: Sequence[NameUse], known: Mapping[str, Kind], shown: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings about names of functions that the app does not have. `known`: kinds by name in lower case.

    `shown`: the names as they are declared, by name in lower case.
    """
    for use in uses:
        if use.text is None or use.text.startswith("BuiltIn::"):
            continue
        # The extension compares names of functions without letter case.
        kind = known.get(use.text.lower())
        if kind is None:
            names = [name for name, of_kind in known.items() if of_kind == use.kind]
            near = difflib.get_close_matches(use.text.lower(), names, n=1, cutoff=_LIKENESS)
            hint = f" Did you mean '{shown[near[0]]}'?" if near else ""
            yield use.source.finding("AZ403", use.node, f"The app has no {use.kind} '{use.text}'.{hint}")
        elif kind != use.kind:
            what = "a function without a durable trigger" if kind == "other" else f"an {kind}"
            article = "a" if use.kind[0] not in "aeo" else "an"
            yield use.source.finding(
                "AZ404", use.node, f"'{use.text}' is {what}, but {article} {use.kind} is needed here."
            )


def unnamed_functions(declared: Sequence[Declared], uses: Sequence[NameUse], sources: AppSources) -> Iterator[Finding]:
    """Yield findings about durable functions that no code of the app names."""
    nodes = [node for source in sources.files for node in ast.walk(source.tree)]
    # The arguments of a function's own decorators do not call it.
    own = {id(node) for each in declared for decorator in each.decorators for node in ast.walk(decorator.node)}
    # Any other text of the app may be a name that is passed on, such as an item of a list of activities.
    texts = {str(node.value).lower() for node in nodes if isinstance(node, ast.Constant) and id(node) not in own}
    # The SDK also takes the function itself instead of its name.
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    read |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    # A name that is computed may be any of this kind.
    computed = {use.kind for use in uses if use.text is None}
    for each in declared:
        if each.name is None or each.kind in ("other", *computed):
            continue
        if each.name.lower() in texts or each.node.name in read:
            continue
        if each.kind == "activity":
            text = f"No orchestrator calls the activity '{each.name}'. Call it, or delete it."
            yield each.source.finding("AZ409", each.node, text)
        else:
            how = "with its management API" if each.kind == "orchestrator" else "by signals from outside"
            text = f"The app does not name the {each.kind} '{each.name}' anywhere. It can run {how} only."
            yield each.source.finding("AZ410", each.node, text)
