"""Rules about async functions, the durable client, and HTTP functions that wait too long."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import Final

from emulator.check.findings import Finding
from emulator.check.functions import Declared
from emulator.check.resolving import Scope
from emulator.check.sdk_members import member_findings
from emulator.check.syntax import assigned_name, method_call, own_nodes, parameters_of, parents_in

# Methods of DurableOrchestrationClient that are coroutines.
_CLIENT_COROUTINES: Final = frozenset(
    (
        *("start_new", "raise_event", "get_status", "get_status_all", "get_status_by", "purge_instance_history"),
        *("purge_instance_history_by", "terminate", "rewind", "suspend", "resume", "restart", "read_entity_state"),
        *("signal_entity", "wait_for_completion_or_create_check_status_response"),
    )
)
# By full name: what to write instead.
_BLOCKING: Final = {
    "time.sleep": "await asyncio.sleep(…)",
    **dict.fromkeys(
        (f"requests.{name}" for name in ("get", "post", "put", "patch", "delete", "head", "request")),
        "an async client such as aiohttp or httpx, or await asyncio.to_thread(…)",
    ),
    **dict.fromkeys(
        (f"httpx.{name}" for name in ("get", "post", "put", "patch", "delete", "head", "request")),
        "async with httpx.AsyncClient()",
    ),
    "urllib.request.urlopen": "await asyncio.to_thread(…)",
    **dict.fromkeys(
        (f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output")),
        "await asyncio.create_subprocess_exec(…)",
    ),
    "os.system": "await asyncio.create_subprocess_shell(…)",
}
# The load balancer of Azure ends an HTTP request after this time.
_HTTP_LIMIT_SECONDS: Final = 230
_MAX_DEPTH: Final = 8


def async_findings(declared: Declared) -> Iterator[Finding]:
    """Yield findings about one function that is not an orchestrator."""
    if isinstance(declared.node, ast.AsyncFunctionDef):
        yield from blocking_call_findings(declared.scope, declared, set(), 0)
    created = {
        assigned_name(node)
        for node in own_nodes(declared.node)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        # In the v1 model, functions create the client from a text.
        and (declared.scope.dotted(node.value.func) or "") == "azure.durable_functions.DurableOrchestrationClient"
    }
    yield from lost_coroutines(declared, [*declared.clients, *(name for name in created if name is not None)])
    yield from member_findings(declared.scope, declared.clients, "client")
    if declared.kind == "entity":
        yield from member_findings(declared.scope, parameters_of(declared.node)[:1], "entity")
    if any(decorator.name == "route" for decorator in declared.decorators):
        yield from long_wait_findings(declared)


def blocking_call_findings(scope: Scope, declared: Declared, seen: set[int], depth: int) -> Iterator[Finding]:
    """Yield calls that block the thread of an async function, also those in functions of the app that it calls."""
    if id(scope.function) in seen or depth > _MAX_DEPTH:
        return
    seen.add(id(scope.function))
    for node in own_nodes(scope.function):
        if not isinstance(node, ast.Call):
            continue
        found = scope.app_function(node.func)
        if found is not None:
            inner = scope if found[1] in list(own_nodes(scope.function)) else None
            # A decorator may run the function on a thread.
            if not found[1].decorator_list:
                yield from blocking_call_findings(Scope(scope.sources, *found, inner), declared, seen, depth + 1)
            continue
        name = scope.dotted(node.func) or ""
        if name in _BLOCKING:
            yield scope.source.finding(
                "AZ407",
                node,
                f"{name}() blocks all async functions of the app while the async function '{declared.shown_name}' "
                f"waits for it. Use {_BLOCKING[name]}, or make it a def function.",
            )


def lost_coroutines(declared: Declared, clients: Collection[str]) -> Iterator[Finding]:
    """Yield calls of the durable client that nothing awaits. `clients`: variables that are durable clients."""
    parents = parents_in(declared.node)
    for node in own_nodes(declared.node):
        method = method_call(node, clients, _CLIENT_COROUTINES)
        parent = parents.get(id(node))
        # Passed to another function or put into a list, it may be awaited there.
        is_lost = isinstance(parent, (ast.Expr, ast.FormattedValue, ast.BinOp, ast.Compare, ast.Attribute))
        if (name := assigned_name(parent)) is not None:
            is_lost = not may_be_awaited(name, declared)
        if method is not None and is_lost:
            text = f"{method} is a coroutine and does nothing until it is awaited. Write: await ….{method}(…)."
            yield declared.source.finding("AZ405", node, text)


def may_be_awaited(name: str, declared: Declared) -> bool:
    """Whether a variable that holds a coroutine is awaited, or put where other code may await it."""
    # Functions inside may await it, too.
    for node in ast.walk(declared.node):
        parts: list[ast.AST | None] = []
        if isinstance(node, (ast.Await, ast.Return, ast.Yield)):
            parts = [node.value]
        elif isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            parts = list(node.elts)
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            # The client's own methods take ids, not coroutines.
            if called not in (*_CLIENT_COROUTINES, "create_check_status_response"):
                parts = [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.Assign):
            parts = [node.value]
        if any(isinstance(part, ast.Name) and part.id == name for part in parts):
            return True
    # A second assignment makes it unclear which value is used where.
    stores = [
        node
        for node in ast.walk(declared.node)
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
    ]
    return len(stores) != 1


def long_wait_findings(declared: Declared) -> Iterator[Finding]:
    """Yield waits of an HTTP function that certainly last longer than the request may."""
    for node in own_nodes(declared.node):
        if not isinstance(node, ast.Call):
            continue
        # Only constants are certain.
        seconds = None
        name = declared.scope.dotted(node.func)
        if name in ("time.sleep", "asyncio.sleep") and node.args:
            seconds = _number(node.args[0])
        elif isinstance(node.func, ast.Attribute) and (
            node.func.attr == "wait_for_completion_or_create_check_status_response"
        ):
            timeout = next((each.value for each in node.keywords if each.arg == "timeout_in_milliseconds"), None)
            # The third parameter, after the request and the instance.
            timeout = node.args[2] if timeout is None and len(node.args) > 2 else timeout
            milliseconds = None if timeout is None else _number(timeout)
            seconds = None if milliseconds is None else milliseconds / 1000
        if seconds is not None and seconds > _HTTP_LIMIT_SECONDS:
            yield declared.source.finding(
                "AZ411",
                node,
                f"The HTTP function '{declared.shown_name}' waits {seconds:g} seconds here. Azure ends the request "
                f"after {_HTTP_LIMIT_SECONDS} seconds. Start an orchestration and return its status URLs.",
            )


def _number(node: ast.expr) -> float | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return float(value) if isinstance(value, int | float) else None
