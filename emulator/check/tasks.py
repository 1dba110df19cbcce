"""Rules about the tasks of orchestrators: what must be yielded, and what must not."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Final

from emulator.check.findings import Finding
from emulator.check.functions import Declared
from emulator.check.resolving import Scope
from emulator.check.sources import Function, SourceFile, is_generator, own_nodes, parameters_of
from emulator.worker.mistakes import TASK_METHODS

# Methods and properties of the orchestration context whose value is no task.
_NO_TASKS: Final = frozenset(
    (
        *("continue_as_new", "set_custom_status", "signal_entity", "get_input", "new_uuid", "new_guid"),
        *("current_utc_datetime", "instance_id", "is_replaying", "custom_status", "parent_instance_id"),
    )
)
# Attributes of a task itself. Any other attribute is one of its result.
_TASK_ATTRIBUTES: Final = frozenset(
    ("result", "is_completed", "is_faulted", "is_canceled", "is_cancelled", "cancel", "id", "state", "children")
)
_MAX_DEPTH: Final = 8


def task_findings(orchestrator: Declared) -> Iterator[Finding]:
    """Yield findings about the tasks of an orchestrator and of its helpers."""
    function, source = orchestrator.node, orchestrator.source
    name = f"The orchestrator '{orchestrator.shown_name}'"
    contexts = parameters_of(function)[:1]
    for node in ast.walk(function):
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)) and _own_yield(node):
            yield source.finding(
                "AZ304",
                node,
                "Python does not allow yield in a comprehension. Collect the tasks in a list, and yield "
                "context.task_all(tasks).",
            )
    if isinstance(function, ast.AsyncFunctionDef):
        yield source.finding(
            "AZ305",
            function,
            f"{name} is an async function, which the durable SDK cannot run. Write def instead of async def, and yield "
            "instead of await.",
        )
        return
    if not is_generator(function):
        used = sorted({method for node in own_nodes(function) if (method := task_method(node, contexts)) is not None})
        if used:
            yield source.finding(
                "AZ303",
                function,
                f"{name} uses {', '.join(used)}, but has no yield, so nothing is run. Write: result = yield context.…",
            )
        return
    yield from _of_function(orchestrator.scope, contexts, is_orchestrator=True, seen=set(), depth=0)


def task_method(node: ast.AST, contexts: Sequence[str]) -> str | None:
    """Return the method if a node is a call that creates a task, such as `context.call_activity(…)`."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in TASK_METHODS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in contexts
    ):
        return node.func.attr
    return None


def _own_yield(comprehension: ast.AST) -> bool:
    waiting = list(ast.iter_child_nodes(comprehension))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.Lambda, ast.FunctionDef)):
            waiting += ast.iter_child_nodes(node)
    return False


def _of_function(
    scope: Scope, contexts: Sequence[str], *, is_orchestrator: bool, seen: set[int], depth: int
) -> Iterator[Finding]:
    """Yield findings about a function whose variables `contexts` are the orchestration context."""
    function, source = scope.function, scope.source
    if id(function) in seen or depth > _MAX_DEPTH or not contexts:
        return
    seen.add(id(function))
    parents = {id(child): node for node in _with_function(function) for child in ast.iter_child_nodes(node)}
    unreachable = {id(node) for statement in _unreachable(function) for node in ast.walk(statement)}
    for node in own_nodes(function):
        method = task_method(node, contexts)
        if method is not None:
            yield from _created_task(node, method, parents, scope, is_orchestrator=is_orchestrator)
        elif isinstance(node, ast.Yield) and id(node) not in unreachable:
            yield from _yielded(node, contexts, source)
        elif isinstance(node, ast.Call) and (found := scope.app_function(node.func)) is not None:
            helper_source, helper = found
            outer = scope if helper in list(own_nodes(function)) else None
            inherited = [name for name in contexts if outer is not None and name not in parameters_of(helper)]
            inside = [*_passed_contexts(node, helper, contexts), *inherited]
            yield from _helper_call(node, helper, inside, parents, source)
            helper_scope = Scope(scope.sources, helper_source, helper, outer)
            yield from _of_function(helper_scope, inside, is_orchestrator=False, seen=seen, depth=depth + 1)


def _with_function(function: Function) -> Iterator[ast.AST]:
    yield function
    yield from own_nodes(function)


def _unreachable(function: Function) -> Iterator[ast.stmt]:
    """Statements behind a return or raise in the same block: `return x` and `yield` make a generator without tasks."""
    for node in _with_function(function):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, ())
            ended = False
            for statement in block if isinstance(block, list) else ():
                if ended:
                    yield statement
                ended = ended or isinstance(statement, (ast.Return, ast.Raise))
        # `if False: yield` is another way to write it.
        if isinstance(node, ast.If) and isinstance(node.test, ast.Constant) and not node.test.value:
            yield from node.body


def _created_task(
    node: ast.AST, method: str, parents: dict[int, ast.AST], scope: Scope, *, is_orchestrator: bool
) -> Iterator[Finding]:
    source, parent = scope.source, parents.get(id(node))
    nothing = "A task does nothing until it is yielded"
    if isinstance(parent, ast.Expr):
        yield source.finding(
            "AZ301", node, f"The task of {method} is not used. {nothing}: write 'yield context.{method}(…)'."
        )
    elif isinstance(parent, ast.Return) and is_orchestrator:
        yield source.finding(
            "AZ301", node, f"The orchestrator returns the task of {method}. {nothing}: write 'return (yield …)'."
        )
    elif isinstance(parent, (ast.Subscript, ast.BinOp, ast.Compare, ast.FormattedValue)) or (
        isinstance(parent, ast.Attribute) and parent.attr not in _TASK_ATTRIBUTES
    ):
        if not (isinstance(parent, ast.Subscript) and parent.slice is node):
            yield source.finding("AZ302", node, _value_message(method))
    elif isinstance(parent, ast.Assign) and len(parent.targets) == 1 and isinstance(parent.targets[0], ast.Name):
        yield from _assigned_task(parent.targets[0].id, node, method, parents, scope)


def _value_message(method: str) -> str:
    return f"The task of {method} is used like its result. Yield it first: write 'result = yield context.{method}(…)'."


def _assigned_task(
    name: str, node: ast.AST, method: str, parents: dict[int, ast.AST], scope: Scope
) -> Iterator[Finding]:
    """Judge `name = context.call_…(…)` by the uses of the name in the function."""
    function = scope.function
    stores = [each for each in own_nodes(function) if isinstance(each, ast.Name) and each.id == name and _stores(each)]
    inner = [each for each in own_nodes(function) if isinstance(each, (ast.FunctionDef, ast.Lambda, ast.ClassDef))]
    # A variable that has several values, or that other functions see, is not judged.
    if len(stores) != 1 or any(
        isinstance(each, ast.Name) and each.id == name for function in inner for each in ast.walk(function)
    ):
        return
    uses = [
        each for each in own_nodes(function) if isinstance(each, ast.Name) and each.id == name and each not in stores
    ]
    if not uses:
        yield scope.source.finding(
            "AZ301",
            node,
            f"The task of {method} is never yielded. A task does nothing until it is yielded: write "
            f"'{name} = yield context.{method}(…)'.",
        )
        return
    as_values = [use for use in uses if _is_value_use(use, parents)]
    if len(as_values) == len(uses):
        yield scope.source.finding("AZ302", as_values[0], _value_message(method))


def _stores(node: ast.Name) -> bool:
    return isinstance(node.ctx, (ast.Store, ast.Del))


def _is_value_use(use: ast.Name, parents: dict[int, ast.AST]) -> bool:
    """Whether a variable is used in a way that no task can be used."""
    parent = parents.get(id(use))
    match parent:
        case ast.Subscript():
            return parent.value is use
        case ast.Attribute():
            return parent.attr not in _TASK_ATTRIBUTES
        case ast.BinOp() | ast.FormattedValue():
            return True
        # `winner == task` compares tasks.
        case ast.Compare():
            return any(isinstance(each, ast.Constant) for each in (parent.left, *parent.comparators))
        case ast.For():
            return parent.iter is use
    return False


def _yielded(node: ast.Yield, contexts: Sequence[str], source: SourceFile) -> Iterator[Finding]:
    """Judge what an orchestrator yields, if it is certainly no task."""
    value = node.value
    what = None
    if value is None or (isinstance(value, ast.Constant) and value.value is None):
        what = "nothing"
    elif isinstance(value, (ast.Constant, ast.JoinedStr, ast.Dict, ast.Set, ast.Compare)):
        what = "a plain value"
    elif isinstance(value, (ast.List, ast.Tuple, ast.ListComp, ast.GeneratorExp)):
        what = "a list"
    else:
        called = value.func if isinstance(value, ast.Call) else value
        if (
            isinstance(called, ast.Attribute)
            and isinstance(called.value, ast.Name)
            and called.value.id in contexts
            and called.attr in _NO_TASKS
        ):
            what = f"context.{called.attr}, which is no task"
    if what is not None:
        advice = "Write: yield context.task_all([…])." if what == "a list" else "Yield tasks of the context only."
        yield source.finding("AZ306", node, f"The orchestrator yields {what}, and fails or never continues. {advice}")


def _helper_call(
    node: ast.Call, function: Function, contexts: Sequence[str], parents: dict[int, ast.AST], source: SourceFile
) -> Iterator[Finding]:
    """Judge the call of a helper with tasks that is a generator: without `yield from` its code does not run."""
    if not is_generator(function) or not isinstance(parents.get(id(node)), (ast.Expr, ast.Yield)):
        return
    if any(task_method(each, contexts) is not None for each in own_nodes(function)):
        yield source.finding(
            "AZ307",
            node,
            f"'{function.name}' is a generator, so this call runs nothing of it. Write: yield from {function.name}(…).",
        )


def _passed_contexts(node: ast.Call, function: Function, contexts: Sequence[str]) -> list[str]:
    """Return the parameters of a called function that get the orchestration context."""
    parameters = parameters_of(function)
    if parameters[:1] == ["self"]:
        parameters = parameters[1:]
    passed = [
        parameter
        for parameter, argument in zip(parameters, node.args, strict=False)
        if isinstance(argument, ast.Name) and argument.id in contexts
    ]
    return passed + [
        keyword.arg
        for keyword in node.keywords
        if keyword.arg in parameters and isinstance(keyword.value, ast.Name) and keyword.value.id in contexts
    ]
