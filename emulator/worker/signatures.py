"""Check of a function's signature against its bindings: which converter each parameter and the return value use.

Rules, order of the checks and texts are the official worker's, so an app that fails on Azure fails here with the same
text. Source: docs/protocol/python-worker.md 2.4.
"""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from emulator.worker import values
from emulator.worker.hints import advice_on_undeclared
from emulator.worker.port import Binding
from emulator.worker.sdk_types import full_name, is_service_client, sdk_converter
from emulator.worker.streaming import HttpStreaming

RETURN = "$return"
CONTEXT = "context"

# Classes whose generic in `typing` differs from the class by more than the module.
_TYPING_NAMES = {
    dict: "Dict",
    list: "List",
    set: "Set",
    frozenset: "FrozenSet",
    tuple: "Tuple",
    type: "Type",
    collections.abc.Set: "AbstractSet",
}
_HTTP_TYPES = frozenset(("httpTrigger", "http"))
# What the converters of azure-functions give, for advice. All of these types can also be a `str`.
_INPUT_CLASSES = {
    "blob": "InputStream",
    "blobtrigger": "InputStream",
    "cosmosdbtrigger": "DocumentList",
    "eventgridtrigger": "EventGridEvent",
    "eventhubtrigger": "EventHubEvent",
    "queuetrigger": "QueueMessage",
    "servicebustrigger": "ServiceBusMessage",
    "timertrigger": "TimerRequest",
}
# Binding.data_type is the decorator's text; the official message shows the number of the protobuf enum.
_DATA_TYPES = {"UNDEFINED": 0, "STRING": 1, "BINARY": 2, "STREAM": 3}


class FunctionLoadError(RuntimeError):
    """A function's signature does not fit its bindings. The class name is part of the official text."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"cannot load the {name} function: {problem}")


@dataclass(frozen=True, slots=True)
class BoundType:
    """How a value is converted: by the converter of the binding type `converter`; `python_type` is the annotation."""

    converter: str
    python_type: Any = None


class Signature:
    """The checked signature of a function: `inputs` and `outputs` by parameter name, `returns`, `takes_context`.

    `sdk_types`: the full names of SDK types by the name of their parameter.
    `streaming` is None unless the function streams HTTP. Creating it raises FunctionLoadError, and what
    `typing.get_type_hints` and the converters raise (NameError, TypeError).
    """

    def __init__(
        self, name: str, call: Callable[..., Any], bindings: Sequence[Binding], streaming: HttpStreaming | None
    ) -> None:
        self._name = name
        self._streaming = streaming
        self._annotations = typing.get_type_hints(call)
        self.inputs: dict[str, BoundType] = {}
        self.outputs: dict[str, BoundType] = {}
        self.sdk_types: dict[str, str] = {}
        # Type of the `$return` binding, and of the last binding whose converter also takes the return value.
        self._explicit_return: str | None = None
        self._implicit_return: str | None = None

        # The SDK replaces the function by one of its own, so the official text is about a parameter that the user does
        # not see.
        self._misnamed_context = next(
            (
                binding.name
                for binding in bindings
                if binding.type.lower() in ("orchestrationtrigger", "entitytrigger") and binding.name != CONTEXT
            ),
            None,
        )
        # The order of these checks decides which of several mistakes the user is told about.
        parameter_bindings = self._sort_bindings(bindings)
        parameters = list(inspect.signature(call).parameters)
        # A binding called "context" wins: durable orchestrators have one.
        self.takes_context = CONTEXT in parameters and CONTEXT not in parameter_bindings
        if self.takes_context:
            parameters.remove(CONTEXT)
            annotation = self._annotations.get(CONTEXT, func.Context)
            # By name, like the official worker: any class called Context is accepted.
            if not isinstance(annotation, type) or annotation.__name__ != "Context":
                raise self._error(
                    f'the "context" parameter is expected to be of type azure.functions.Context, got {annotation!r}'
                )
        for parameter in set(parameters) - set(parameter_bindings):
            if is_service_client(self._annotations.get(parameter)):
                self.sdk_types[parameter] = full_name(self._annotations[parameter])
                parameters.remove(parameter)
        undeclared = [parameter for parameter in parameters if parameter not in parameter_bindings]
        unbound = [parameter for parameter in parameter_bindings if parameter not in parameters]
        if undeclared:
            error = self._error(
                f"the following parameters are declared in Python but not in function.json: {set(undeclared)!r}"
            )
            for parameter in undeclared:
                if advice := advice_on_undeclared(parameter, self._annotations.get(parameter), bindings, unbound):
                    error.add_note(advice)
            raise error
        if unbound:
            raise self._error(
                f"the following parameters are declared in function.json but not in Python: {set(unbound)!r}"
            )
        # In the order of the parameters, not of the bindings: it decides which of several wrong annotations is named.
        for binding in (parameter_bindings[parameter] for parameter in parameters):
            bound = self._check_parameter(binding)
            (self.outputs if binding.direction == "out" else self.inputs)[binding.name] = bound
        self.returns = self._check_return()

    def _error(self, problem: str) -> FunctionLoadError:
        error = FunctionLoadError(self._name, problem)
        if self._misnamed_context is not None:
            error.add_note(
                f"The trigger of an orchestrator or entity must have the name '{CONTEXT}' instead of "
                f"'{self._misnamed_context}': the durable SDK calls the function with a parameter of this name."
            )
        return error

    def _sort_bindings(self, bindings: Sequence[Binding]) -> dict[str, Binding]:
        """Note the return bindings; return the others by parameter name."""
        parameter_bindings: dict[str, Binding] = {}
        for binding in bindings:
            if binding.direction == "inout":
                raise self._error('"inout" bindings are not supported')
            if binding.name == RETURN:
                if binding.direction != "out":
                    raise self._error('"$return" binding must have direction set to "out"')
                self._explicit_return = binding.type
                continue
            if values.has_implicit_output(binding.type):
                self._implicit_return = binding.type
            parameter_bindings[binding.name] = binding
        return parameter_bindings

    def _check_parameter(self, binding: Binding) -> BoundType:
        name, is_output = binding.name, binding.direction == "out"
        if name not in self._annotations:
            return BoundType(binding.type)
        annotation = python_type = self._annotations[name]
        is_annotated_out = _is_out(annotation)
        if is_annotated_out:
            arguments = typing.get_args(annotation)
            if len(arguments) != 1:
                raise self._error(f"binding {name} has invalid Out annotation {annotation!r}")
            python_type = arguments[0]
        # `typing.List[X]` is accepted, `list[X]` is not: the official worker recognises only generics of `typing`.
        is_generic = typing.get_origin(python_type) is not None and type(python_type).__module__ == "typing"
        if not isinstance(python_type, type) and not is_generic:
            error = self._error(f"binding {name} has invalid non-type annotation {annotation!r}")
            error.add_note(self._advice(binding, python_type, in_out=is_annotated_out))
            raise error
        if is_output and not is_annotated_out:
            raise self._error(
                f'binding {name} is declared to have the "out" direction, but its annotation in Python is not '
                f"a subclass of azure.functions.Out"
            )
        if is_annotated_out and not is_output:
            raise self._error(
                f'binding {name} is declared to have the "in" direction in function.json, but its annotation is '
                f"azure.functions.Out in Python"
            )
        if not is_output and (converter := sdk_converter(binding.type, python_type)) is not None:
            if not converter.check_input_type_annotation(python_type):
                raise self._type_mismatch(binding, python_type)
            self.sdk_types[name] = full_name(python_type)
            return BoundType(binding.type, python_type)
        # `str` and `bytes` take the value without conversion, except for bindings whose converter also handles the
        # return value, such as activity triggers.
        is_plain = python_type in (str, bytes) and not values.has_implicit_output(binding.type)
        bound = BoundType("generic" if is_plain else binding.type, python_type)
        try:
            is_accepted = self._accepts(bound, as_output=is_output)
        except TypeError as error:
            # The converters of the library compare classes and raise this for `typing.Optional[X]`.
            error.add_note(
                f"The parameter '{name}' has the annotation {annotation!r}. Write a class, or no annotation."
            )
            raise
        if not is_accepted:
            # The official worker refuses `QueueTrigger` with `func.QueueMessage`, although its host accepts the type.
            bound = BoundType(values.registered_type(binding.type), python_type)
            if bound.converter == binding.type or not self._accepts(bound, as_output=is_output):
                raise self._type_mismatch(binding, python_type)
        return bound

    def _type_mismatch(self, binding: Binding, python_type: Any) -> FunctionLoadError:
        annotation = getattr(python_type, "__name__", repr(python_type))
        data_type = None if binding.data_type is None else _DATA_TYPES.get(binding.data_type)
        # A binding without data type is "not undefined" for the official worker, so the common message is the second
        # one and contains the text "None".
        if data_type == 0:
            error = self._error(
                f'type of {binding.name} binding in function.json "{binding.type}" does not match its Python '
                f'annotation "{annotation}"'
            )
        else:
            error = self._error(
                f'{binding.name!r} binding type "{binding.type}" and dataType "{data_type}" in function.json do not '
                f'match the corresponding function parameter\'s Python type annotation "{annotation}"'
            )
        accepted = _INPUT_CLASSES.get(binding.type.lower())
        if accepted is not None and binding.direction != "out":
            error.add_note(
                f"Annotate the parameter '{binding.name}' with func.{accepted} or str, or leave out the annotation."
            )
        return error

    def _advice(self, binding: Binding, python_type: Any, *, in_out: bool) -> str:
        """Return what to write instead of an annotation such as `dict[str, str]`, which fails on Azure too."""
        origin = typing.get_origin(python_type)
        alternatives = []
        if isinstance(origin, type):
            # The generic of `typing` has the name of the class: Dict for dict, Sequence for collections.abc.Sequence.
            name = _TYPING_NAMES.get(origin, origin.__name__)
            if hasattr(typing, name):
                arguments = repr(python_type).partition("[")[2]
                alternatives.append((getattr(typing, name)[typing.get_args(python_type)], f"typing.{name}[{arguments}"))
            alternatives.append((origin, origin.__qualname__))
        accepted = []
        for alternative, text in alternatives:
            # The converter's check raises TypeError if it needs a class.
            with suppress(TypeError):
                if self._accepts(BoundType(binding.type, alternative), as_output=binding.direction == "out"):
                    accepted.append(f"func.Out[{text}]" if in_out else text)
        choices = ", ".join([*accepted, "or no annotation"] if accepted else ["a class, or no annotation"])
        return f"The Functions worker accepts classes and generics of the module typing only. Write {choices}."

    def _check_return(self) -> BoundType | None:
        binding_type, annotation = self._explicit_return, self._annotations.get("return")
        if binding_type is None:
            # Without `$return` the official worker does not check the return annotation.
            return None if self._implicit_return is None else BoundType(self._implicit_return, annotation)
        bound = BoundType(binding_type, annotation)
        if annotation is None:
            return bound
        if _is_out(annotation) and typing.get_origin(annotation) is not None:
            raise self._error("return annotation should not be azure.functions.Out")
        if not isinstance(annotation, type):
            error = self._error(f"has invalid non-type return annotation {annotation!r}")
            error.add_note(
                "The Functions worker accepts a class as the return annotation, such as dict. Write one, or leave out "
                "the annotation."
            )
            raise error
        if not self._accepts(bound, as_output=True):
            raise self._error(
                f'Python return annotation "{annotation.__name__}" does not match binding type "{binding_type}"'
            )
        return bound

    def _accepts(self, bound: BoundType, *, as_output: bool) -> bool:
        if self._streaming is not None and bound.converter in _HTTP_TYPES:
            # In an app that streams HTTP the web framework's classes replace func.HttpRequest and func.HttpResponse.
            tracker = self._streaming.response_types if as_output else self._streaming.request_types
            return tracker.check_type(bound.python_type)
        converter = values.converter_for(bound.converter)
        check = converter.check_output_type_annotation if as_output else converter.check_input_type_annotation
        return bool(check(bound.python_type))


def _is_out(annotation: Any) -> bool:
    # By name, like the official worker: `func.Out`, `func.Out[str]`, and any other class called Out.
    candidate = typing.get_origin(annotation) or annotation
    return isinstance(candidate, type) and candidate.__name__ == "Out"
