"""What a name in a function stands for: a function of a library, such as `datetime.datetime.now`, or one of the app."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property

from emulator.check.sources import AppSources, SourceFile
from emulator.check.syntax import Function, own_nodes, parameters_of


@dataclass(frozen=True)
class Scope:
    """A function of the app, and where its names come from. `outer`: the function in which it is defined."""

    sources: AppSources
    source: SourceFile
    function: Function
    outer: Scope | None = None

    @cached_property
    def _own_names(self) -> frozenset[str]:
        """Names that are variables or inner functions of this function, which hide those of the module."""
        # Names that are imported inside the function are not among them: what they stand for is known.
        names = set(parameters_of(self.function))
        names |= {each.arg for each in (self.function.args.vararg, self.function.args.kwarg) if each is not None}
        shared: set[str] = set()
        for node in own_nodes(self.function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)):
                names.add(node.name or "")
            elif isinstance(node, ast.Global):
                shared.update(node.names)
        return frozenset(names - shared)

    def is_local(self, name: str) -> bool:
        """Whether a name is a variable of this function, or of one around it."""
        return name in self._own_names or (self.outer is not None and self.outer.is_local(name))

    def dotted(self, node: ast.AST) -> str | None:
        """Return the full dotted name of what an expression such as `dt.now` stands for.

        None for other expressions and for local variables. A name of the file itself begins with the file's module.
        """
        return None if (root := _root(node)) and self.is_local(root) else dotted_name(node, self.source)

    def app_function(self, node: ast.AST) -> tuple[SourceFile, Function] | None:
        """Return the function of the app that an expression names; for a class its `__init__`."""
        if isinstance(node, ast.Name) and (inner := self._inner(node.id)) is not None:
            return self.source, inner
        name = self.dotted(node)
        found = None if name is None else self.sources.definition(name)
        if found is None:
            return None
        source, definition = found
        # Creating an object runs the code of its class.
        if isinstance(definition, ast.ClassDef):
            definition = next((each for each in definition.body if getattr(each, "name", "") == "__init__"), definition)
        return (source, definition) if isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef)) else None

    def returned_functions(self) -> list[Function]:
        """Return the functions of the app whose results this function returns."""
        values = [node.value for node in own_nodes(self.function) if isinstance(node, ast.Return)]
        called = [self.app_function(value.func) for value in values if isinstance(value, ast.Call)]
        return [found[1] for found in called if found is not None]

    def _inner(self, name: str) -> Function | None:
        scope: Scope | None = self
        while scope is not None:
            # Inner functions hide those of the functions around, as variables do.
            for node in own_nodes(scope.function):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
                    return node
            scope = scope.outer
        return None


def dotted_name(node: ast.AST, source: SourceFile) -> str | None:
    """Return the full dotted name of an expression at the top of a file; None for other expressions than names."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    if node.id in source.imports:
        return ".".join([source.imports[node.id], *parts])
    if node.id in source.definitions:
        return ".".join([source.module, node.id, *parts])
    return ".".join([node.id, *parts])


def constant_text(node: ast.AST | None, source: SourceFile, sources: AppSources) -> str | None:
    """Return the value of a string, or of a name that a file of the app sets to a string once."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    name = None if node is None else dotted_name(node, source)
    found = None if name is None else sources.definition(name)
    # A variable or parameter of the same name may be meant, with any value.
    if (
        found is None
        or not isinstance(found[1], (ast.Assign, ast.AnnAssign))
        or is_set_elsewhere(node, source, found[0])
    ):
        return None
    value = found[1].value
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def is_set_elsewhere(node: ast.AST | None, *files: SourceFile) -> bool:
    """Whether one of the files sets a name more than once."""
    return isinstance(node, ast.Name) and any(file.variables[node.id] > 1 for file in files)


def _root(node: ast.AST) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
