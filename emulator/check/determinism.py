"""Rules about orchestrator code that gives another result, or does something again, when it is replayed.

Calls of functions of the app are followed, so a helper that reads the clock is found, too. What only a log line needs,
and what runs only `if not context.is_replaying`, is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from emulator.check.findings import Finding
from emulator.check.functions import Declared
from emulator.check.resolving import Scope
from emulator.check.sources import Function, own_nodes
from emulator.worker.mistakes import TASK_METHODS

_CLOCK: Final = "Use context.current_utc_datetime."
_RANDOM: Final = "Do it in an activity, or use random.Random(context.instance_id)."
_UUID: Final = "Use context.new_uuid()."
_ENVIRONMENT: Final = "Read it in an activity, or pass it as input."
_IO: Final = "Do it in an activity."
_SLEEP: Final = "Write: yield context.create_timer(context.current_utc_datetime + timedelta(…))."
_THREADS: Final = "Start several activities and yield context.task_all(…) instead."

_HTTP_METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options", "request")


def _table() -> Mapping[str, tuple[str, str]]:
    """Return code and advice by the full name of a function."""
    rows: dict[str, tuple[str, str]] = {}

    def add(code: str, advice: str, *names: str) -> None:
        rows.update(dict.fromkeys(names, (code, advice)))

    add("AZ201", _CLOCK, *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns")))
    add("AZ201", _CLOCK, "time.perf_counter", "time.perf_counter_ns", "time.process_time")
    add("AZ201", _CLOCK, "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today")
    add("AZ201", _CLOCK, "datetime.date.today", "pandas.Timestamp.now", "pendulum.now", "arrow.now", "arrow.utcnow")
    add("AZ202", _RANDOM, *(f"random.{name}" for name in ("random", "randint", "randrange", "choice", "choices")))
    add("AZ202", _RANDOM, *(f"random.{name}" for name in ("sample", "shuffle", "uniform", "gauss", "getrandbits")))
    add("AZ202", _RANDOM, *(f"secrets.{name}" for name in ("token_hex", "token_urlsafe", "token_bytes", "choice")))
    add("AZ202", _RANDOM, "secrets.randbelow", "secrets.randbits", "os.urandom", "random.SystemRandom")
    add("AZ203", _UUID, "uuid.uuid1", "uuid.uuid4")
    add("AZ204", _ENVIRONMENT, "os.getenv", "os.environ.get", "os.getcwd", "socket.gethostname", "platform.node")
    for module in ("requests", "httpx", "urllib3"):
        add("AZ205", _IO, *(f"{module}.{method}" for method in _HTTP_METHODS))
    add("AZ205", _IO, "requests.Session", "httpx.Client", "httpx.AsyncClient", "aiohttp.ClientSession")
    add("AZ205", _IO, "urllib3.PoolManager", "urllib.request.urlopen", "urllib.request.urlretrieve")
    add("AZ205", _IO, "open", "input", "io.open", "os.listdir", "os.scandir", "os.remove", "os.mkdir", "os.makedirs")
    add("AZ205", _IO, "os.system", "os.popen", "os.stat", "os.path.exists", "os.path.isfile", "os.path.isdir")
    add("AZ205", _IO, *(f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output", "Popen")))
    add("AZ205", _IO, "sqlite3.connect", "socket.socket", "socket.create_connection", "smtplib.SMTP", "shutil.rmtree")
    add("AZ205", _IO, "smtplib.SMTP_SSL", "psycopg2.connect", "pyodbc.connect", "pymongo.MongoClient", "redis.Redis")
    add("AZ205", _IO, "boto3.client", "boto3.resource")
    add("AZ206", _SLEEP, "time.sleep", "asyncio.sleep")
    add("AZ207", _THREADS, "threading.Thread", "threading.Timer", "multiprocessing.Process", "multiprocessing.Pool")
    add("AZ207", _THREADS, "concurrent.futures.ThreadPoolExecutor", "concurrent.futures.ProcessPoolExecutor")
    add("AZ207", _THREADS, "asyncio.run", "asyncio.gather", "asyncio.create_task", "asyncio.get_event_loop")
    return rows


_FORBIDDEN: Final = _table()
# These return the current time only without arguments.
_NOW_WITHOUT_ARGUMENTS: Final = ("time.localtime", "time.gmtime", "time.ctime")
# Packages of Azure services, whose clients send requests.
_SERVICE_PACKAGES: Final = ("azure.storage.", "azure.data.", "azure.cosmos.", "azure.servicebus.", "azure.keyvault.")
_LOG_METHODS: Final = frozenset(("debug", "info", "warning", "error", "critical", "exception", "log"))
_MUTATIONS: Final = frozenset(
    ("append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "remove", "discard", "clear")
)
# Deeper chains of helpers are rare, and a recursion must end.
_MAX_DEPTH: Final = 8


@dataclass(frozen=True)
class _Way:
    """How an orchestrator comes to a function. `chain`: the names of the helpers on the way."""

    orchestrator: Declared
    chain: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        name = f"the orchestrator '{self.orchestrator.shown_name}'"
        return f"{name} (through {' → '.join(self.chain)})" if self.chain else name


def determinism_findings(orchestrator: Declared) -> Iterator[Finding]:
    """Yield what an orchestrator, and each function of the app that it calls, must not do."""
    yield from _of_function(orchestrator.scope, _Way(orchestrator), seen=set())


def _of_function(scope: Scope, way: _Way, seen: set[int]) -> Iterator[Finding]:
    if id(scope.function) in seen or len(way.chain) > _MAX_DEPTH:
        return
    seen.add(id(scope.function))
    skipped = _harmless_nodes(scope)
    source = scope.source
    yield from _global_state(scope, way)
    yield from _set_iterations(scope, way)
    for node in own_nodes(scope.function):
        if id(node) in skipped:
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _of_function(Scope(scope.sources, source, node, scope), way, seen)
        elif isinstance(node, ast.Lambda):
            for inner in ast.walk(node.body):
                if isinstance(inner, ast.Call):
                    yield from _call(inner, scope, way, seen)
        elif isinstance(node, ast.Call):
            yield from _call(node, scope, way, seen)
        elif (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Load)
            and scope.dotted(node.value) == "os.environ"
        ):
            yield source.finding("AZ204", node, f"os.environ is read by {way.who}. {_ENVIRONMENT}")


def _call(node: ast.Call, scope: Scope, way: _Way, seen: set[int]) -> Iterator[Finding]:
    found = scope.app_function(node.func)
    if found is not None:
        source, function = found
        # Its decorators make a durable function something else than a helper; see rule AZ308.
        if not _is_declared(function):
            inner = Scope(scope.sources, source, function, scope if function in _inner(scope) else None)
            longer = _Way(way.orchestrator, (*way.chain, function.name))
            yield from _of_function(inner, longer, seen)
        return
    name = scope.dotted(node.func)
    if name is None:
        return
    code, advice = _FORBIDDEN.get(name, ("", ""))
    if name in _NOW_WITHOUT_ARGUMENTS and not node.args:
        code, advice = "AZ201", _CLOCK
    last = name.rpartition(".")[2]
    if name.startswith(_SERVICE_PACKAGES) and (last.endswith("Client") or last.startswith("from_connection_string")):
        code, advice = "AZ205", _IO
    if name == "random.Random" and not node.args:
        code, advice = "AZ202", _RANDOM
    if code:
        yield scope.source.finding(code, node, f"{name}() is called by {way.who}. {advice}")


def _inner(scope: Scope) -> list[ast.AST]:
    return [node for node in own_nodes(scope.function) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def _is_declared(function: Function) -> bool:
    return any(
        isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr.endswith("_trigger")
        for each in function.decorator_list
    )


def _harmless_nodes(scope: Scope) -> set[int]:
    """Return the ids of nodes that cannot change the orchestrator: arguments of log calls, code for new events only."""
    harmless: set[int] = set()
    for node in own_nodes(scope.function):
        parts: list[ast.AST] = []
        if isinstance(node, ast.If) and _is_not_replaying(node.test):
            parts = [statement for statement in node.body if not _contains_task(statement)]
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            is_log = isinstance(node.func, ast.Attribute) and name in _LOG_METHODS
            parts = [*node.args, *node.keywords] if is_log or name == "print" else []
        harmless.update(id(inner) for part in parts for inner in ast.walk(part))
    return harmless


def _is_not_replaying(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.UnaryOp)
        and isinstance(test.op, ast.Not)
        and isinstance(test.operand, ast.Attribute)
        and test.operand.attr == "is_replaying"
    )


def _contains_task(node: ast.AST) -> bool:
    return any(
        isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr in TASK_METHODS
        for inner in ast.walk(node)
    )


def _global_state(scope: Scope, way: _Way) -> Iterator[Finding]:
    """Writes to variables of a module: each replay makes them again, and other instances see them."""
    source = scope.source
    advice = "Each replay changes it again, for all instances of this process. Keep state in local variables."
    shared = {name for node in own_nodes(scope.function) if isinstance(node, ast.Global) for name in node.names}
    for node in own_nodes(scope.function):
        name = None
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)) and node.id in shared:
            name = node.id
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
            name = _module_variable(node.value, scope)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATIONS:
            name = _module_variable(node.func.value, scope)
        if name is not None:
            yield source.finding("AZ209", node, f"The global variable '{name}' is changed by {way.who}. {advice}")


def _module_variable(node: ast.expr, scope: Scope) -> str | None:
    """Return the name of a variable of the file that holds a list, dict or set."""
    if not isinstance(node, ast.Name) or scope.is_local(node.id):
        return None
    definition = scope.source.definitions.get(node.id)
    if not isinstance(definition, (ast.Assign, ast.AnnAssign)):
        return None
    value = definition.value
    is_container = isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)) or (
        isinstance(value, ast.Call)
        and getattr(value.func, "id", getattr(value.func, "attr", ""))
        in ("list", "dict", "set", "defaultdict", "deque")
    )
    return node.id if is_container else None


def _set_iterations(scope: Scope, way: _Way) -> Iterator[Finding]:
    """Loops over sets that create tasks: the order of a set of texts differs between processes."""
    sets = {
        target.id
        for node in own_nodes(scope.function)
        if isinstance(node, ast.Assign) and _is_set(node.value, scope, frozenset())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    # A variable that is also something else, such as its sorted list, is not judged.
    sets -= {
        target.id
        for node in own_nodes(scope.function)
        if isinstance(node, ast.Assign) and not _is_set(node.value, scope, frozenset())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in own_nodes(scope.function):
        iterated: ast.expr | None = None
        if isinstance(node, ast.For) and any(_contains_task(statement) for statement in node.body):
            iterated = node.iter
        elif isinstance(node, (ast.ListComp, ast.GeneratorExp)) and _contains_task(node.elt):
            iterated = node.generators[0].iter
        if iterated is not None and _is_set(iterated, scope, frozenset(sets)):
            yield scope.source.finding(
                "AZ210",
                iterated,
                f"The order of a set decides about tasks of {way.who}, and differs between processes. Use sorted(…).",
            )


def _is_set(node: ast.expr, scope: Scope, names: frozenset[str]) -> bool:
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset"):
        return not scope.is_local(node.func.id)
    return isinstance(node, ast.Name) and node.id in names
