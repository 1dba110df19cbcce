"""From the app object to checked functions: what the decorators said, whether the signature fits it.

All rules and texts are those of the official worker, so that an app which fails on Azure fails here with the same
words. Source: docs/protocol/python-worker.md 2.2 to 2.4.
"""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

import azure.functions as func

from emulator.clock import Clock
from emulator.worker import values
from emulator.worker.port import Binding, FunctionMetadata, RetryPolicy
from emulator.worker.streaming import Streaming, find_streaming

RETURN = "$return"
CONTEXT = "context"

_HTTP_TYPES = frozenset(("httpTrigger", "http"))
_DATA_TYPES = {"UNDEFINED": 0, "STRING": 1, "BINARY": 2, "STREAM": 3}


class FunctionLoadError(RuntimeError):
    """A function's signature does not fit its bindings. The class name is part of the official text."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"cannot load the {name} function: {problem}")


@dataclass(frozen=True, slots=True)
class BoundType:
    """How a value crosses: `converter` is the binding type whose converter is used, `python_type` the annotation."""

    converter: str
    python_type: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFunction:
    """A function that can be called. `directory`: where the callable's source lies (Context.function_directory)."""

    metadata: FunctionMetadata
    call: Callable[..., Any]
    is_async: bool
    takes_context: bool
    inputs: Mapping[str, BoundType]
    outputs: Mapping[str, BoundType]
    returns: BoundType | None
    directory: str
    streaming: Streaming | None = None


def index(app: func.FunctionRegister, root: Path, clock: Clock) -> list[LoadedFunction]:
    """All functions of the app, own ones first, then the blueprints'. The first problem fails the whole app."""
    # The library remembers the names and would call every one of them a duplicate when asked again, which happens
    # when one process opens an app twice.
    app.functions_bindings = None
    functions = app.get_functions()
    streaming = find_streaming((one.get_user_function() for one in functions if _is_http(one)), clock)
    return [_load(function, root, streaming) for function in functions]


def _load(function: Any, root: Path, streaming: Streaming | None) -> LoadedFunction:
    try:
        return _checked(function, root, streaming)
    except Exception as error:
        error.add_note(f"The function is {function.get_function_name()} at {_source(function.get_user_function())}.")
        raise


def _checked(function: Any, root: Path, streaming: Streaming | None) -> LoadedFunction:
    name = function.get_function_name()
    call = function.get_user_function()
    bindings = [_binding(text) for text in function.get_raw_bindings()]
    if not _is_http(function):
        streaming = None
    signature = _Signature(name, call, bindings, streaming)
    return LoadedFunction(
        metadata=FunctionMetadata(
            name=name,
            id=_function_id(name),
            bindings=bindings,
            retry=_retry(function.get_settings_dict("retry_policy")),
            directory=str(root),
            streams_http=streaming is not None,
            source=_source(call),
        ),
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        takes_context=signature.takes_context,
        inputs=MappingProxyType(signature.inputs),
        outputs=MappingProxyType(signature.outputs),
        # A streaming function answers through its request's stream; there is nothing to convert.
        returns=signature.returns if streaming is None else None,
        directory=_directory(call, root),
        streaming=streaming,
    )


def _is_http(function: Any) -> bool:
    trigger = function.get_trigger()
    return trigger is not None and trigger.type == "httpTrigger"


# Bindings and settings ---------------------------------------------------------------------------------------


def _binding(text: str) -> Binding:
    members = json.loads(text)
    return Binding(
        type=str(members["type"]),
        name=str(members["name"]),
        direction=cast(Literal["in", "out", "inout"], str(members["direction"]).lower()),
        data_type=members.get("dataType"),
        properties=members,
    )


def _function_id(name: str) -> str:
    # The only deterministic identifier: no randomness is asked for, so it needs no `NewId`.
    from uuid import NAMESPACE_OID, uuid5

    return str(uuid5(NAMESPACE_OID, name))


def _retry(setting: Mapping[str, Any] | None) -> RetryPolicy | None:
    """Raises ValueError for intervals that are not HH:MM:SS and for an unknown strategy, as the official worker."""
    if not setting:
        return None
    strategy = str(setting["strategy"])
    attempts = int(setting["max_retry_count"])
    if strategy == "fixed_delay":
        return RetryPolicy("fixed_delay", attempts, delay=_interval(setting.get("delay_interval")))
    if strategy != "exponential_backoff":
        raise ValueError(f'unknown retry strategy "{strategy}": use "fixed_delay" or "exponential_backoff"')
    return RetryPolicy(
        "exponential_backoff",
        attempts,
        minimum=_interval(setting.get("minimum_interval")),
        maximum=_interval(setting.get("maximum_interval")),
    )


def _interval(text: Any) -> float:
    # strptime itself makes the official texts: "unconverted data remains: .5", "must be str, not None".
    parsed = datetime.strptime(text, "%H:%M:%S")  # noqa: DTZ007 - a length of time, not a moment
    return timedelta(hours=parsed.hour, minutes=parsed.minute, seconds=parsed.second).total_seconds()


def _directory(call: Callable[..., Any], root: Path) -> str:
    try:
        return str(Path(inspect.getfile(call)).parent)
    except TypeError:
        return str(root)


def _source(call: Callable[..., Any]) -> str | None:
    """Where the user wrote it: behind the wrappers of the durable SDK and of functools."""
    for attribute in ("orchestrator_function", "entity_function", "client_function"):
        call = getattr(call, attribute, call)
    code = getattr(inspect.unwrap(call), "__code__", None)
    return None if code is None else f"{code.co_filename}:{code.co_firstlineno}"


# Signature against bindings ----------------------------------------------------------------------------------


class _Signature:
    """The checks in the official order; what is left afterwards is how each value crosses."""

    def __init__(
        self, name: str, call: Callable[..., Any], bindings: Sequence[Binding], streaming: Streaming | None
    ) -> None:
        self._name = name
        self._streaming = streaming
        self._annotations = typing.get_type_hints(call)
        self.inputs: dict[str, BoundType] = {}
        self.outputs: dict[str, BoundType] = {}

        explicit, implicit, bound = self._sort(bindings)
        parameters = set(inspect.signature(call).parameters)
        self.takes_context = CONTEXT in parameters and CONTEXT not in bound
        if self.takes_context:
            parameters.remove(CONTEXT)
            self._check_context()
        self._check_names(parameters, set(bound))
        for binding in bound.values():
            self._add_parameter(binding)
        self.returns = self._returned(explicit, implicit)

    def _fail(self, problem: str) -> FunctionLoadError:
        return FunctionLoadError(self._name, problem)

    def _sort(self, bindings: Sequence[Binding]) -> tuple[str | None, str | None, dict[str, Binding]]:
        """The binding type of `$return`, the last type with implicit output, and the parameters' bindings."""
        explicit: str | None = None
        implicit: str | None = None
        bound: dict[str, Binding] = {}
        for binding in bindings:
            if binding.direction == "inout":
                raise self._fail('"inout" bindings are not supported')
            if binding.name == RETURN:
                if binding.direction != "out":
                    raise self._fail('"$return" binding must have direction set to "out"')
                explicit = binding.type
                continue
            if values.has_implicit_output(binding.type):
                implicit = binding.type
            bound[binding.name] = binding
        return explicit, implicit, bound

    def _check_context(self) -> None:
        annotation = self._annotations.get(CONTEXT, func.Context)
        if not isinstance(annotation, type) or annotation.__name__ != "Context":
            raise self._fail(
                f'the "context" parameter is expected to be of type azure.functions.Context, got {annotation!r}'
            )

    def _check_names(self, parameters: set[str], bound: set[str]) -> None:
        if only_python := parameters - bound:
            raise self._fail(
                f"the following parameters are declared in Python but not in function.json: {only_python!r}"
            )
        if only_bound := bound - parameters:
            raise self._fail(
                f"the following parameters are declared in function.json but not in Python: {only_bound!r}"
            )

    def _add_parameter(self, binding: Binding) -> None:
        name, is_out = binding.name, binding.direction == "out"
        if name not in self._annotations:
            (self.outputs if is_out else self.inputs)[name] = BoundType(binding.type)
            return
        annotation = self._annotations[name]
        annotated_out = _is_out(annotation)
        python_type = self._out_argument(name, annotation) if annotated_out else annotation
        if not isinstance(python_type, type) and not _is_typing_generic(python_type):
            raise self._fail(f"binding {name} has invalid non-type annotation {annotation!r}")
        self._check_direction(name, is_out=is_out, annotated_out=annotated_out)
        bound = BoundType(_converter_type(binding, python_type), python_type)
        if not self._accepts(bound, as_output=annotated_out):
            raise self._fail(_type_mismatch(binding, python_type))
        (self.outputs if is_out else self.inputs)[name] = bound

    def _out_argument(self, name: str, annotation: Any) -> Any:
        arguments = typing.get_args(annotation)
        if len(arguments) != 1:
            raise self._fail(f"binding {name} has invalid Out annotation {annotation!r}")
        return arguments[0]

    def _check_direction(self, name: str, *, is_out: bool, annotated_out: bool) -> None:
        if is_out and not annotated_out:
            raise self._fail(
                f'binding {name} is declared to have the "out" direction, but its annotation in Python is not '
                f"a subclass of azure.functions.Out"
            )
        if annotated_out and not is_out:
            raise self._fail(
                f'binding {name} is declared to have the "in" direction in function.json, but its annotation is '
                f"azure.functions.Out in Python"
            )

    def _returned(self, explicit: str | None, implicit: str | None) -> BoundType | None:
        annotation = self._annotations.get("return")
        if explicit is None:
            return None if implicit is None else BoundType(implicit, annotation)
        if annotation is not None:
            self._check_return(explicit, annotation)
        return BoundType(explicit, annotation)

    def _check_return(self, binding_type: str, annotation: Any) -> None:
        if _is_out(annotation) and typing.get_origin(annotation) is not None:
            raise self._fail("return annotation should not be azure.functions.Out")
        if not isinstance(annotation, type):
            raise self._fail(f"has invalid non-type return annotation {annotation!r}")
        if not self._accepts(BoundType(binding_type, annotation), as_output=True):
            raise self._fail(
                f'Python return annotation "{annotation.__name__}" does not match binding type "{binding_type}"'
            )

    def _accepts(self, bound: BoundType, *, as_output: bool) -> bool:
        if self._streaming is not None and bound.converter in _HTTP_TYPES:
            tracker = self._streaming.responses if as_output else self._streaming.requests
            return tracker.check_type(bound.python_type)
        converter = values.converter_for(bound.converter)
        check = converter.check_output_type_annotation if as_output else converter.check_input_type_annotation
        return bool(check(bound.python_type))


def _is_out(annotation: Any) -> bool:
    """By name, as the official worker: `func.Out`, `func.Out[str]`, and anybody's class called Out."""
    candidate = typing.get_origin(annotation) or annotation
    return isinstance(candidate, type) and candidate.__name__ == "Out"


def _is_typing_generic(annotation: Any) -> bool:
    """`typing.List[X]` and the like; `list[X]` is none in the official worker."""
    return typing.get_origin(annotation) is not None and type(annotation).__module__ == "typing"


def _converter_type(binding: Binding, python_type: Any) -> str:
    """`str` and `bytes` take the value as it is, unless the binding's own converter is the one that also returns."""
    if python_type in (str, bytes) and not values.has_implicit_output(binding.type):
        return "generic"
    return binding.type


def _type_mismatch(binding: Binding, python_type: Any) -> str:
    annotation = getattr(python_type, "__name__", repr(python_type))
    data_type = None if binding.data_type is None else _DATA_TYPES.get(binding.data_type)
    if data_type == 0:
        return (
            f'type of {binding.name} binding in function.json "{binding.type}" does not match its Python '
            f'annotation "{annotation}"'
        )
    return (
        f'{binding.name!r} binding type "{binding.type}" and dataType "{data_type}" in function.json do not match the '
        f'corresponding function parameter\'s Python type annotation "{annotation}"'
    )
