"""What a function does with a durable task: each must be yielded once, and nothing else may be yielded.

A task is an object that stands for a result. The SDK schedules it when the orchestrator yields it, or one made of it.
Source: azure-functions-durable, models/TaskOrchestrationExecutor.py, models/DurableOrchestrationContext.py.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from emulator.check.findings import Finding
from emulator.check.resolving import Scope
from emulator.check.syntax import Function, assigned_name, own_nodes

# Methods and properties of the orchestration context whose value is not a task.
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
_NOTHING_HAPPENS: Final = "A task does nothing until it is yielded"


def created_task_findings(
    node: ast.Call, method: str, parents: Mapping[int, ast.AST], scope: Scope, *, is_orchestrator: bool
) -> Iterator[Finding]:
    """Judge what becomes of the task that the call of a method creates. `parents`: those of the function's nodes."""
    source, parent = scope.source, parents.get(id(node))
    used = f"The task of {method} is used like its result. Yield it first: 'result = yield context.{method}(…)'."
    if isinstance(parent, ast.Expr):
        text = f"The task of {method} is not used. {_NOTHING_HAPPENS}: write 'yield context.{method}(…)'."
        yield source.finding("AZ301", node, text)
    elif isinstance(parent, ast.Return) and is_orchestrator:
        # A helper may well return a task, for its caller to yield.
        text = f"The orchestrator returns the task of {method}. {_NOTHING_HAPPENS}: write 'return (yield …)'."
        yield source.finding("AZ301", node, text)
    elif is_used_as_value(node, parent):
        yield source.finding("AZ302", node, used)
    elif (name := assigned_name(parent)) is not None:
        uses = uses_of_single_value(name, scope.function)
        if uses == []:
            text = f"The task of {method} is never yielded. {_NOTHING_HAPPENS}: '{name} = yield context.{method}(…)'."
            yield source.finding("AZ301", node, text)
        # One use that a task may have is enough to keep quiet: it may be yielded there.
        elif uses and all(is_used_as_value(use, parents.get(id(use))) for use in uses):
            yield source.finding("AZ302", uses[0], used)


def uses_of_single_value(name: str, function: Function) -> Sequence[ast.Name] | None:
    """Return where a function reads a variable that it sets once; None if that cannot be told."""
    nodes = list(own_nodes(function))
    inner = [each for each in nodes if isinstance(each, (ast.FunctionDef, ast.Lambda, ast.ClassDef))]
    # A function inside may read the variable at any time.
    if any(isinstance(each, ast.Name) and each.id == name for part in inner for each in ast.walk(part)):
        return None
    found = [each for each in nodes if isinstance(each, ast.Name) and each.id == name]
    uses = [each for each in found if isinstance(each.ctx, ast.Load)]
    return uses if len(found) - len(uses) == 1 else None


def is_used_as_value(node: ast.expr, parent: ast.AST | None) -> bool:
    """Whether an expression is used in a way that no task can be used, such as `task["name"]` or `task + 1`."""
    match parent:
        case ast.Subscript():
            return parent.value is node
        case ast.Attribute():
            return parent.attr not in _TASK_ATTRIBUTES
        case ast.BinOp() | ast.FormattedValue():
            return True
        case ast.Compare():
            # `winner == task` compares two tasks, which is the way to use task_any.
            return any(isinstance(each, ast.Constant) for each in (parent.left, *parent.comparators))
        case ast.For():
            return parent.iter is node
    return False


def yield_findings(scope: Scope, contexts: Sequence[str]) -> Iterator[Finding]:
    """Judge what a function yields to the SDK, if it is certainly no task."""
    unreachable = {id(node) for statement in unreachable_statements(scope.function) for node in ast.walk(statement)}
    for node in own_nodes(scope.function):
        if not isinstance(node, ast.Yield) or id(node) in unreachable:
            continue
        value = node.value
        called = value.func if isinstance(value, ast.Call) else value
        advice = "Yield tasks of the context only."
        if value is None or (isinstance(value, ast.Constant) and value.value is None):
            what = "nothing"
        elif isinstance(value, (ast.Constant, ast.JoinedStr, ast.Dict, ast.Set, ast.Compare)):
            what = "a plain value"
        elif isinstance(value, (ast.List, ast.Tuple, ast.ListComp, ast.GeneratorExp)):
            what, advice = "a list", "Write: yield context.task_all([…])."
        elif (
            isinstance(called, ast.Attribute)
            and called.attr in _NO_TASKS
            and isinstance(called.value, ast.Name)
            and called.value.id in contexts
        ):
            what = f"context.{called.attr}, which is not a task"
        else:
            # Any other expression may be a task.
            continue
        text = f"The orchestrator yields {what}, and fails or never continues. {advice}"
        yield scope.source.finding("AZ306", node, text)


def unreachable_statements(function: Function) -> Iterator[ast.stmt]:
    """Yield statements behind a return or raise: `return x`, then `yield`, makes a generator without tasks."""
    for node in (function, *own_nodes(function)):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, ())
            # The body of a lambda or conditional expression is not a list.
            statements = block if isinstance(block, list) else []
            ends = [index for index, each in enumerate(statements) if isinstance(each, (ast.Return, ast.Raise))]
            yield from statements[ends[0] + 1 :] if ends else ()
        # `if False: yield` is another way to write it.
        if isinstance(node, ast.If) and isinstance(node.test, ast.Constant) and not node.test.value:
            yield from node.body
