"""Indexing: the list of functions of an app object, with their metadata and checked signatures.

Rules and texts are the official worker's, so an app that fails on Azure fails here with the same text.
Source: docs/protocol/python-worker.md 2.2 to 2.4.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast
from uuid import NAMESPACE_OID, uuid5

import azure.functions as func

from emulator.clock import Clock
from emulator.worker.port import Binding, FunctionMetadata, RetryPolicy
from emulator.worker.signatures import BoundType, Signature
from emulator.worker.streaming import HttpStreaming, find_http_streaming
from emulator.worker.wrapped_functions import user_function


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFunction:
    """A function that can be called. `directory`: the folder of its source file (Context.function_directory)."""

    metadata: FunctionMetadata
    call: Callable[..., Any]
    is_async: bool
    takes_context: bool
    inputs: Mapping[str, BoundType]
    outputs: Mapping[str, BoundType]
    returns: BoundType | None
    directory: str
    streaming: HttpStreaming | None = None


def index(app: func.FunctionRegister, root: Path, clock: Clock) -> list[LoadedFunction]:
    """Return all functions of the app: its own first, then those of its blueprints.

    The first mistake fails the whole app: raises what the library raises (ValueError), FunctionLoadError, and what
    annotations and retry settings raise (NameError, TypeError, ValueError).
    """
    # The library keeps the function names on the app object and would report every name as a duplicate when it is
    # asked a second time, which happens when a process opens the same app twice.
    app.functions_bindings = None
    builders = app.get_functions()
    streaming = find_http_streaming((builder.get_user_function() for builder in builders if _is_http(builder)), clock)
    functions = []
    for builder in builders:
        try:
            functions.append(_load(builder, root, streaming))
        except Exception as error:
            # The official texts do not always name the function, and an error at indexing has no user frame.
            place = _source_of(builder.get_user_function())
            error.add_note(f"The function is {builder.get_function_name()} at {place}.")
            raise
    return functions


def _load(builder: Any, root: Path, streaming: HttpStreaming | None) -> LoadedFunction:
    name = builder.get_function_name()
    call = builder.get_user_function()
    bindings = [
        Binding(
            type=str(members["type"]),
            name=str(members["name"]),
            # The library writes the enum's name, "IN" or "OUT".
            direction=cast(Literal["in", "out", "inout"], str(members["direction"]).lower()),
            data_type=members.get("dataType"),
            properties=members,
        )
        for members in map(json.loads, builder.get_raw_bindings())
    ]
    if not _is_http(builder):
        streaming = None
    signature = Signature(name, call, bindings, streaming)
    try:
        # For durable functions and ASGI apps this is a folder of the library, which wraps the callable; the official
        # worker has the same result.
        directory = str(Path(inspect.getfile(call)).parent)
    except TypeError:
        directory = str(root)
    return LoadedFunction(
        metadata=FunctionMetadata(
            name=name,
            # The id is derived from the name and is the same on every machine.
            id=str(uuid5(NAMESPACE_OID, name)),
            bindings=bindings,
            retry=_parse_retry_policy(_retry_setting(builder)),
            directory=str(root),
            streams_http=streaming is not None,
            source=_source_of(call),
        ),
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        takes_context=signature.takes_context,
        inputs=MappingProxyType(signature.inputs),
        outputs=MappingProxyType(signature.outputs),
        # A function that streams HTTP responds through its request's stream; its return value is not converted.
        returns=signature.returns if streaming is None else None,
        directory=directory,
        streaming=streaming,
    )


def _is_http(builder: Any) -> bool:
    trigger = builder.get_trigger()
    return trigger is not None and trigger.type == "httpTrigger"


def _retry_setting(builder: Any) -> Mapping[str, Any] | None:
    # azure-functions has retry policies since 1.12.
    read = getattr(builder, "get_settings_dict", None)
    return None if read is None else cast("Mapping[str, Any] | None", read("retry_policy"))


def _parse_retry_policy(setting: Mapping[str, Any] | None) -> RetryPolicy | None:
    # Raises ValueError for intervals that are not HH:MM:SS and for an unknown strategy, like the official worker.
    if not setting:
        return None
    strategy = str(setting["strategy"])
    attempts = int(setting["max_retry_count"])
    if strategy == "fixed_delay":
        return RetryPolicy("fixed_delay", attempts, delay=_parse_interval(setting.get("delay_interval")))
    if strategy != "exponential_backoff":
        raise ValueError(f'unknown retry strategy "{strategy}": use "fixed_delay" or "exponential_backoff"')
    return RetryPolicy(
        "exponential_backoff",
        attempts,
        minimum=_parse_interval(setting.get("minimum_interval")),
        maximum=_parse_interval(setting.get("maximum_interval")),
    )


def _parse_interval(text: Any) -> float:
    # strptime itself produces the official texts: "unconverted data remains: .5", "must be str, not None".
    parsed = datetime.strptime(text, "%H:%M:%S")  # noqa: DTZ007 - a length of time, not a moment
    return timedelta(hours=parsed.hour, minutes=parsed.minute, seconds=parsed.second).total_seconds()


def _source_of(call: Callable[..., Any]) -> str | None:
    # Messages must show the user's line.
    code = getattr(user_function(call), "__code__", None)
    return None if code is None else f"{code.co_filename}:{code.co_firstlineno}"
