"""Decorators of app objects and blueprints: which they are, and what their arguments say."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import azure.functions as func

from emulator.check.resolving import dotted_name
from emulator.check.sources import AppSources, SourceFile

DURABLE_DECORATORS: Final[Mapping[str, Sequence[str]]] = {
    "orchestration_trigger": ("context_name", "orchestration", "input_type"),
    "activity_trigger": ("input_name", "activity"),
    "entity_trigger": ("context_name", "entity_name"),
    "durable_client_input": ("client_name", "task_hub", "connection_name"),
}
"""The parameters of the decorators of azure-functions-durable, which need not be installed."""

_APP_CLASSES: Final = ("FunctionApp", "DFApp", "Blueprint", "AsgiFunctionApp", "WsgiFunctionApp")
# Decorators that add no binding. Others, such as those of MCP tools, may bind all parameters by themselves.
_WITHOUT_BINDING: Final = frozenset(("function_name", "retry", "http_type"))


@dataclass(frozen=True, slots=True)
class Decorator:
    """A decorator of an app object or blueprint. `arguments`: by parameter name, unevaluated.

    `has_more`: there are arguments `**more`.
    """

    name: str
    node: ast.Call
    arguments: Mapping[str, ast.expr]
    has_more: bool

    @property
    def is_binding(self) -> bool:
        """Whether it adds a trigger, input or output whose parameter its arguments name."""
        return self.name in ("route", "schedule") or self.name.endswith(("_trigger", "_input", "_output", "_binding"))

    @property
    def is_understood(self) -> bool:
        """Whether it is known which parameters of the function it binds."""
        return (self.is_binding or self.name in _WITHOUT_BINDING) and not self.has_more


def app_names(source: SourceFile, sources: AppSources) -> frozenset[str]:
    """Return the names of variables of a file that are app objects or blueprints, own and imported ones."""
    # Anywhere in the file: a function that builds the app has them as local variables.
    names = {
        target.id
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign) and creates_app(node.value, source)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for name, dotted in source.imports.items():
        found = sources.definition(dotted)
        if found is not None and isinstance(found[1], (ast.Assign, ast.AnnAssign)):
            names |= {name} if creates_app(found[1].value, found[0]) else set()
    return frozenset(names)


def creates_app(value: ast.AST | None, source: SourceFile) -> bool:
    """Whether an expression creates an app object or blueprint."""
    name = dotted_name(value.func, source) if isinstance(value, ast.Call) else None
    # Flask has a Blueprint, too.
    return name is not None and name.startswith("azure.") and name.rpartition(".")[2] in _APP_CLASSES


def read_decorator(node: ast.expr, apps: Collection[str]) -> Decorator | None:
    """Return a decorator of an app object; None for all others. `apps`: names of app objects."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return None
    name, owner = node.func.attr, node.func.value
    parameters = parameters_of_decorators().get(name)
    # The names of durable decorators are unmistakable; Flask has a `route`, too.
    is_of_app = name in DURABLE_DECORATORS or (isinstance(owner, ast.Name) and owner.id in apps)
    if parameters is None or not is_of_app:
        return None
    arguments = dict(zip(parameters, node.args, strict=False))
    arguments.update((keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg is not None)
    return Decorator(name, node, arguments, has_more=any(keyword.arg is None for keyword in node.keywords))


@cache  # Inspecting all methods takes longer than reading a small app.
def parameters_of_decorators() -> Mapping[str, Sequence[str]]:
    """Return the parameters of all decorators by the decorator's name."""
    methods = inspect.getmembers(func.FunctionApp, inspect.isfunction)
    found = {name: list(inspect.signature(method).parameters)[1:] for name, method in methods if name[0] != "_"}
    return {**found, **DURABLE_DECORATORS}
