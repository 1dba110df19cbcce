"""Worker port: the interface through which the host loads the function app and invokes its functions.

It has the shape of the FunctionRpc contract between the official host and its language workers, so that a worker in
another process can implement it too. A worker knows neither triggers nor the host: it receives and returns typed values
(`Datum`). Source: azure-functions-host, src/WebJobs.Script.Grpc; docs/protocol/python-worker.md chapter 1.
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
    "model_binding_data",
    "int",
    "double",
    "collection_string",
    "collection_bytes",
    "collection_double",
    "collection_sint64",
]

# Beginnings of logger names (RpcLog.log_category System).
_SYSTEM_LOGGERS = ("azure_functions_worker", "azure.functions")


@dataclass(frozen=True, slots=True)
class HttpRequestData:
    """An HTTP request (RpcHttp), completely read. `url` is absolute; `headers` have lower-case names.

    Several values of a header are joined with a comma. `body` is empty if the request has none.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    route_params: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpCookie:
    """One Set-Cookie header (RpcHttpCookie). `expires`: an RFC 9110 date; `max_age`: seconds. None: not in the header.

    `same_site` is "Lax", "Strict" or "None".
    """

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
    """An HTTP response (RpcHttp). `headers` keep their order; Set-Cookie headers are in `cookies` instead."""

    status: int
    headers: Sequence[tuple[str, str]]
    cookies: Sequence[HttpCookie]
    body: bytes


AsgiMessage = MutableMapping[str, Any]
"""An event of an ASGI connection, for example `{"type": "http.response.body", …}`."""


@dataclass(frozen=True, slots=True)
class HttpStream:
    """An HTTP exchange as an ASGI connection (ASGI HTTP 2.3): request and response bodies are streamed.

    It outlives the invocation: the response may still be sent after the function has returned. `receive` and `send` may
    be awaited on any event loop; `send` waits while the client does not read. Call `close` once, on any thread, when
    nothing more will be sent. `route_params`: the values of the route's parameters.
    """

    scope: Mapping[str, Any]
    route_params: Mapping[str, str]
    receive: Callable[[], Awaitable[AsgiMessage]]
    send: Callable[[AsgiMessage], Awaitable[None]]
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Datum:
    """A typed value (TypedData). `json` holds JSON *text*; `http` holds HttpRequestData or HttpResponseData.

    `model_binding_data` holds a ModelBindingData. FunctionRpc has no message for two types: `http_stream` holds an
    HttpStream, and `stream` a binary file object, as input or output. Its `read` is called on any thread but the
    host's, and may block. An input may have a method `reopened`, which returns a new file object for each attempt to
    run the function. The absence of a value is None instead of a Datum.
    """

    type: DatumType
    value: Any


@dataclass(frozen=True, slots=True)
class ModelBindingData:
    """Description of a client of an Azure SDK, such as BlobClient, which the SDK's package creates in the worker.

    `source` names the kind of service, such as "AzureStorageBlobs"; `content` has a form of its own for each.
    """

    version: str
    source: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Binding:
    """One binding of a function, as in function.json. `properties`: all its members, names in camelCase.

    `type` keeps the spelling of the decorator; compare it in lower case. `data_type`: "STRING", "BINARY", "STREAM" or
    "UNDEFINED"; None if the decorator does not set it. Read members with `member_of`.
    """

    type: str
    name: str
    direction: Literal["in", "out", "inout"]
    data_type: str | None
    properties: Mapping[str, Any]

    @property
    def is_trigger(self) -> bool:
        """Whether it is the function's trigger."""
        # By the suffix, like the official host: it has no list of the trigger types.
        return self.type.lower().endswith("trigger")

    @property
    def takes_sdk_type(self) -> bool:
        """Whether the parameter takes a client or message of an Azure SDK, which needs a `model_binding_data`."""
        marks = self.properties.get("properties")
        return isinstance(marks, Mapping) and marks.get("SupportsDeferredBinding") is True


def member_of(properties: Mapping[str, Any], name: str) -> Any:
    """Return the member of a binding that has this name in any letter case; None if there is none.

    The Functions host ignores the letter case of members, and function.json files are written by hand.
    """
    if name in properties:
        return properties[name]
    return next((value for key, value in properties.items() if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Retry policy of a function (RpcRetryOptions). Times are in seconds; `max_attempts` -1 means no limit.

    `fixed_delay` uses `delay`; `exponential_backoff` uses `minimum` and `maximum`.
    """

    strategy: Literal["fixed_delay", "exponential_backoff"]
    max_attempts: int
    delay: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionMetadata:
    """An indexed function (RpcFunctionMetadata). `id`: the UUIDv5 of its name.

    `bindings` are in the order in which the decorators are applied, so the trigger is usually the last one.
    `script_file`: the path from the app's folder, with slashes. `directory`: the app's folder; for a function of the v1
    programming model, the function's own folder.
    """

    name: str
    id: str
    bindings: Sequence[Binding]
    retry: RetryPolicy | None = None
    script_file: str = "function_app.py"
    directory: str = ""
    parameter_types: Mapping[str, type] = field(default_factory=dict)
    """The annotations of parameters that take plain values: `str` or `bytes`, by name. Others are left out."""
    sdk_types: Mapping[str, str] = field(default_factory=dict)
    """The annotations of parameters that take a client or message of an Azure SDK (deferred bindings), by name: for
    example `azurefunctions.extensions.bindings.blob.blobClient.BlobClient`."""
    streams_http: bool = False
    """Takes its HTTP request as `http_stream` and sends the response through it instead of returning one."""
    source: str | None = None
    """`file:line` of the user's function, or the path of its function.json, for messages."""
    config: Mapping[str, Any] | None = None
    """The content of function.json; None for a function of the v2 programming model."""
    disabled: bool | str = False
    """Member `disabled` of function.json: a bool, or the name of the app setting that decides."""
    configuration_error: str | None = None
    """Why the declaration is invalid: function.json, or a function of the script. It cannot run."""
    fails_app_on_azure: bool = False
    """On Azure, the app has no functions because of the configuration error."""
    load_error: str | None = None
    """Why the function could not be loaded, in the official worker's text. It is listed, and every call of it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryContext:
    """State of the retries of an invocation. `exception`: the text of the previous attempt's error."""

    retry_count: int
    max_retry_count: int
    exception: str | None = None


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A line that user code has logged or printed (RpcLog). `level`: Python's number (10, 20, …).

    `category`: the logger's name, None for print. `invocation_id`: None outside invocations. `exception`: the formatted
    traceback. `is_replay`: an orchestrator has logged it while it was replayed, so an earlier line says the same.
    """

    level: int
    message: str
    category: str | None
    invocation_id: str | None
    exception: str | None = None
    is_replay: bool = False

    @property
    def is_system(self) -> bool:
        """Whether a logger of the official worker or of azure-functions has written it, and not one of the user.

        Source: docs/protocol/python-worker.md 7.1.
        """
        return self.category is not None and self.category.startswith(_SYSTEM_LOGGERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of a function (InvocationRequest).

    `inputs`: by parameter name. `trigger_metadata`: names as in the official host. `trace_…`: W3C trace context.
    `on_log` is called for every line that the function logs or prints, on any thread, before `invoke` returns.
    """

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
    """Result of a call (InvocationResponse). `outputs`: by parameter name, those that are set.

    `value`: the return value; None if there is none.
    """

    value: Datum | None
    outputs: Mapping[str, Datum] = field(default_factory=dict)


class WorkerError(EmulatorError):
    """Base class of the errors of a worker."""


class FunctionFailed(WorkerError):
    """The user's function has raised, or has returned a value that its binding cannot carry.

    `type_name`: e.g. "ValueError"; `text`: `str(exception)`; `stack`: the formatted frames, outermost first; `cause`:
    the exception itself, for in-process workers only. `origin`: for the log, the user's exception with the line that
    raised it, "KeyError: 'a' (function_app.py, line 8, in f)", and advice in a second line if there is any.
    `str(error)` is the official worker's text, in three parts: "Result: Failure", "Exception: ValueError: boom",
    "Stack:   File …".
    """

    def __init__(
        self, *, type_name: str, text: str, stack: str, origin: str = "", cause: BaseException | None = None
    ) -> None:
        super().__init__(f"Result: Failure\nException: {type_name}: {text}\nStack: {stack}")
        self.type_name = type_name
        self.text = text
        self.stack = stack
        self.origin = origin
        self.cause = cause


class Worker(Protocol):
    """Runs the functions of one app. An implementation is an async context manager.

    Entering it starts the worker. Leaving it stops the worker; wait for running invocations before. Functions that
    still run are abandoned, since user code cannot be stopped. It cannot be entered again.
    """

    async def load(self) -> Sequence[FunctionMetadata]:
        """Import and index the app; return its functions, or none if the app declares none.

        Call it once, after entering. Not safe to cancel: the import of the user's modules continues on its thread.
        Raises AppLoadError, with the official worker's text, if the app cannot be imported or indexed. No function can
        be invoked then. A function of the v1 programming model that cannot be loaded does not affect the others; see
        FunctionMetadata.
        """

    async def invoke(self, invocation: Invocation) -> Returned:
        """Call a function once and return its outputs and return value.

        Concurrent calls are allowed; the worker's thread limit applies to sync functions. Not idempotent: the worker
        never retries. Safe to cancel, but cancelling does not stop user code: the function runs to its end and its
        result is dropped.
        Raises FunctionFailed if the function fails (none of its outputs may be written then),
        WorkerError if the app has no such function, RuntimeError if the worker has stopped.
        """
