"""The worker port: running the user's functions. Shaped after the official FunctionRpc contract.

A worker knows no trigger and no host; it gets values (`Datum`) and gives values. Source: azure-functions-host,
src/WebJobs.Script.Grpc; docs/protocol/python-worker.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from emulator.errors import EmulatorError

DatumType = Literal[
    "string",
    "json",
    "bytes",
    "http",
    "http_stream",
    "stream",
    "sdk_object",
    "int",
    "double",
    "collection_string",
    "collection_bytes",
    "collection_double",
    "collection_sint64",
]


@dataclass(frozen=True, slots=True)
class HttpRequestData:
    """`headers`: lower-case names; several values of a name are joined with a comma. `body`: raw bytes."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    route_params: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpCookie:
    name: str
    value: str
    domain: str | None = None
    path: str | None = None
    expires: str | None = None
    secure: bool | None = None
    http_only: bool | None = None
    same_site: str | None = None
    max_age: float | None = None


@dataclass(frozen=True, slots=True)
class HttpResponseData:
    status: int
    headers: Sequence[tuple[str, str]]
    cookies: Sequence[HttpCookie]
    body: bytes


AsgiMessage = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class HttpStream:
    """An HTTP exchange that goes on while the function runs and after it: an ASGI connection (ASGI HTTP 2.3).

    `receive` and `send` may be awaited on any event loop; `send` waits until the client takes more. `close`: nothing
    more will be sent; to be called once, on any thread. `route_params`: values of the route.
    """

    scope: Mapping[str, Any]
    route_params: Mapping[str, str]
    receive: Callable[[], Awaitable[AsgiMessage]]
    send: Callable[[AsgiMessage], Awaitable[None]]
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Datum:
    """A typed value (TypedData). `json` holds JSON *text*; `http` holds HttpRequestData or HttpResponseData.

    Three types hold objects that the worker gives to the parameter as they are: `http_stream` an HttpStream, `stream`
    a binary file object, `sdk_object` a client of an Azure SDK, such as BlobClient. FunctionRpc has no message for
    them; the official worker gets a description of the object (model_binding_data) and creates it in its own process.
    The absence of a value is None instead of a Datum.
    """

    type: DatumType
    value: Any


@dataclass(frozen=True, slots=True)
class Binding:
    """One binding as the decorators wrote it, names in camelCase; `properties` has all members, `type`, `name`,
    `direction` included. `type` keeps its spelling; compare in lower case.
    """

    type: str
    name: str
    direction: Literal["in", "out", "inout"]
    data_type: str | None
    properties: Mapping[str, Any]

    @property
    def is_trigger(self) -> bool:
        return self.type.lower().endswith("trigger")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_attempts` -1: for ever. Seconds. `fixed_delay` uses `delay`, exponential `minimum` and `maximum`."""

    strategy: Literal["fixed_delay", "exponential_backoff"]
    max_attempts: int
    delay: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionMetadata:
    """An indexed function. `id`: UUIDv5 of its name; `bindings` in the decorators' order (trigger usually last)."""

    name: str
    id: str
    bindings: Sequence[Binding]
    retry: RetryPolicy | None = None
    script_file: str = "function_app.py"
    directory: str = ""
    streams_http: bool = False
    """Wants its HTTP request as `http_stream` and answers through it instead of returning a response."""
    source: str | None = None
    """`file:line` of the user's function, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryContext:
    retry_count: int
    max_retry_count: int
    exception: str | None = None


@dataclass(frozen=True, slots=True)
class LogRecord:
    """What user code logged or printed. `level`: Python's number (10, 20, …); `category`: logger name or None for
    print; `exception`: formatted traceback.
    """

    level: int
    message: str
    category: str | None
    invocation_id: str | None
    exception: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call. `inputs`: by parameter name. `trigger_metadata`: extra facts of the trigger (names as the host's)."""

    id: str
    function: str
    inputs: Mapping[str, Datum | None]
    trigger_metadata: Mapping[str, Datum] = field(default_factory=dict)
    trace_parent: str = ""
    trace_state: str = ""
    trace_attributes: Mapping[str, str] = field(default_factory=dict)
    retry: RetryContext | None = None
    on_log: Callable[[LogRecord], None] | None = None


@dataclass(frozen=True, slots=True)
class Returned:
    """`outputs`: values of `out` parameters that were set; `value`: the return value, None when there is none."""

    value: Datum | None
    outputs: Mapping[str, Datum] = field(default_factory=dict)


class WorkerError(EmulatorError):
    """Base of what a worker raises."""


class FunctionFailed(WorkerError):
    """The user's function raised, or returned what its binding cannot carry.

    `type_name`: e.g. "ValueError"; `text`: str(exception); `stack`: the formatted traceback, the user's frames first
    to last; `cause`: the exception itself, in-process workers only. `str(error)` is the official worker's text:
    `Result: Failure\\nException: ValueError: boom\\nStack:   File …`.
    """

    def __init__(self, *, type_name: str, text: str, stack: str, cause: BaseException | None = None) -> None:
        super().__init__(f"Result: Failure\nException: {type_name}: {text}\nStack: {stack}")
        self.type_name = type_name
        self.text = text
        self.stack = stack
        self.cause = cause


class Worker(Protocol):
    """Enter it (async with) to start it; leaving stops it after running invocations ended or were given up."""

    async def load(self) -> Sequence[FunctionMetadata]:
        """Import and index the app. Raises AppLoadError with the official worker's text."""

    async def invoke(self, invocation: Invocation) -> Returned:
        """Call a function. Raises FunctionFailed. Cancelling does not stop user code; its result is dropped."""
