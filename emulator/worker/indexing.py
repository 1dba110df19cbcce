"""Indexing: the list of functions of an app object, with their metadata and checked signatures.

Rules and texts are the official worker's, so an app that fails on Azure fails here with the same text.
Source: docs/protocol/python-worker.md 2.2 to 2.4.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast
from uuid import NAMESPACE_OID, uuid5

import azure.functions as func

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.worker.failures import hints_of
from emulator.worker.origins import message_of
from emulator.worker.port import Binding, FunctionMetadata
from emulator.worker.retry_policies import policy_of_decorator
from emulator.worker.sdk_types import SdkClients
from emulator.worker.signatures import BoundType, Signature
from emulator.worker.streaming import HttpStreaming, find_http_streaming
from emulator.worker.user_functions import source_of

# The official worker stops indexing at the first mistake.
_ON_AZURE = "On Azure, the app has no functions because of this. Here, only this function is left out."


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
    sdk_clients: SdkClients = field(default_factory=SdkClients)


def index(
    app: func.FunctionRegister, root: Path, clock: Clock
) -> tuple[list[LoadedFunction], Sequence[FunctionMetadata]]:
    """Return the functions of the app, its own first, then those of its blueprints; and those that have a mistake.

    A function with a mistake has it as its `configuration_error`. Raises what the library raises (ValueError). If all
    functions have a mistake, raises the first one: FunctionLoadError, or what annotations and retry settings raise
    (NameError, TypeError, ValueError).
    """
    # The library keeps the function names on the app object and would report every name as a duplicate when it is
    # asked a second time, which happens when a process opens the same app twice.
    app.functions_bindings = None
    try:
        builders = app.get_functions()
    except ValueError as error:
        _name_places_of_duplicates(app, error)
        raise
    streaming = find_http_streaming((builder.get_user_function() for builder in builders if _is_http(builder)), clock)
    functions: list[LoadedFunction] = []
    errors: dict[str, Exception] = {}
    rejected: list[FunctionMetadata] = []
    for builder in builders:
        name, source = str(builder.get_function_name()), source_of(builder.get_user_function())
        try:
            functions.append(_load(builder, root, streaming))
        except Exception as error:
            # The official texts do not always name the function, and an error at indexing has no user frame.
            error.add_note(f"The function is {name} at {source}.")
            errors[name] = error
            text = "\n".join([message_of(error), *hints_of(error), _ON_AZURE])
            rejected.append(
                FunctionMetadata(
                    name=name,
                    id=function_id(name),
                    bindings=(),
                    directory=str(root),
                    source=source,
                    configuration_error=text,
                    fails_app_on_azure=True,
                )
            )
    if errors and not functions:
        # The app has no functions, as on Azure, so its error is the one that Azure reports.
        [first, *others] = errors.values()
        if others:
            first.add_note(f"All functions of the app have mistakes: {', '.join(errors)}. This is the first one.")
        raise first
    return functions, rejected


def loaded_function(
    metadata: FunctionMetadata, call: Callable[..., Any], *, directory: str, streaming: HttpStreaming | None
) -> LoadedFunction:
    """Check the function's signature against its bindings and return it. `directory`: see LoadedFunction.

    `streaming` is None unless the function streams HTTP. Raises what creating a Signature raises.
    """
    signature = Signature(metadata.name, call, metadata.bindings, streaming)
    bindings = metadata.bindings
    if signature.sdk_types:
        # The official worker marks all bindings of such a function, for the host.
        bindings = [
            replace(
                binding,
                properties={
                    **binding.properties,
                    "properties": {"SupportsDeferredBinding": binding.name in signature.sdk_types},
                },
            )
            for binding in bindings
        ]
    return LoadedFunction(
        metadata=replace(
            metadata,
            bindings=bindings,
            parameter_types={
                parameter: bound.python_type
                for parameter, bound in signature.inputs.items()
                if bound.python_type in (str, bytes)
            },
            sdk_types=signature.sdk_types,
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


def function_id(name: str) -> str:
    """Return the id of a function. It is derived from the name and is the same on every machine."""
    return str(uuid5(NAMESPACE_OID, name))


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
    # azure-functions has retry policies since 1.12.
    read_setting = getattr(builder, "get_settings_dict", None)
    metadata = FunctionMetadata(
        name=name,
        id=function_id(name),
        bindings=bindings,
        retry=policy_of_decorator(None if read_setting is None else read_setting("retry_policy")),
        directory=str(root),
        streams_http=streaming is not None,
        source=source_of(call),
    )
    try:
        # For durable functions and ASGI apps this is a folder of the library, which wraps the callable; the official
        # worker has the same result.
        directory = str(Path(inspect.getfile(call)).parent)
    except TypeError:
        directory = str(root)
    return loaded_function(metadata, call, directory=directory, streaming=streaming)


def _name_places_of_duplicates(app: func.FunctionRegister, error: ValueError) -> None:
    """Add the places of functions with the same name to the library's error, which names one of them only."""
    places = defaultdict(list)
    # The library has no public access to functions that it refuses.
    for builder in getattr(app, "_function_builders", ()):
        function = getattr(builder, "_function", None)
        if function is not None:
            places[function.get_function_name()].append(source_of(function.get_user_function()))
    for name, found in places.items():
        if len(found) > 1:
            error.add_note(f"The functions with the name {name} are at {' and '.join(map(str, found))}.")


def _is_http(builder: Any) -> bool:
    trigger = builder.get_trigger()
    return trigger is not None and trigger.type == "httpTrigger"
