"""The catalog of functions: what the worker has indexed, checked by the host's rules, sorted, and found by name.

A function that breaks a rule is reported and left out; the others run.
Source: host, FunctionMetadataManager.cs, ScriptHost.cs; docs/protocol/functions-host.md 3.2 to 3.5.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emulator.errors import EmulatorError
from emulator.host.bindings import RETURN, BindingTypes, PreparedFunction, UnknownBindingTypes, prepare
from emulator.host.expressions import ExpressionError
from emulator.host.port import Function, InvalidFunction
from emulator.host.retries import UNLIMITED
from emulator.worker.function_json import FILE_NAME
from emulator.worker.port import Binding, FunctionMetadata, member_of

_FUNCTION_NAME = re.compile(r"[a-z][a-z0-9_\-]{0,127}", re.IGNORECASE | re.ASCII)
_BINDING_NAME = re.compile(r"(?!.*__)[a-zA-Z_][a-zA-Z0-9_]{0,127}|\$return", re.ASCII)


class Failing(enum.Enum):
    """The stage at which a function failed; the host words the two differently."""

    VALIDATION = "validation"
    INDEXING = "indexing"


@dataclass(frozen=True, slots=True)
class Problem:
    """The reason why a function cannot run."""

    function: str
    message: str
    failing: Failing

    @property
    def lines(self) -> Sequence[str]:
        """The lines that the host logs."""
        if self.failing is Failing.VALIDATION:
            return [f"The '{self.function}' function is in error: {self.message}"]
        return [
            f"Error indexing method 'Functions.{self.function}'. {self.message}",
            f"Function 'Functions.{self.function}' failed indexing and will be disabled.",
        ]


@dataclass(frozen=True, slots=True)
class Catalog:
    """All functions that can run, and why the others cannot.

    `functions`: sorted by name, ordinal, case ignored; listeners, lists and HTTP routes all have this order.
    `prepared`: their prepared bindings by function name. `unselected`: functions that the allow list leaves out.
    """

    functions: Sequence[Function] = ()
    problems: Sequence[Problem] = ()
    prepared: Mapping[str, PreparedFunction] = field(default_factory=dict)
    unselected: Sequence[str] = ()

    def find(self, name: str) -> Function | None:
        """Return the function of that name in any letter case; None if there is none."""
        # A linear search is fast enough: apps have tens of functions, and listeners do not come this way.
        lower_name = name.lower()
        return next((function for function in self.functions if function.name.lower() == lower_name), None)

    def errors_of(self, name: str) -> Sequence[str]:
        """Return the messages that /admin/functions/{name}/status shows."""
        function = self.find(name)
        load_error = function and function.metadata.load_error
        problems = [problem.message for problem in self.problems if problem.function.lower() == name.lower()]
        return [*problems, load_error] if load_error else problems


def build_catalog(
    indexed: Iterable[FunctionMetadata],
    types: BindingTypes,
    *,
    expand: Callable[[str], str],
    is_disabled: Callable[[FunctionMetadata], bool],
    only: Sequence[str] | None = None,
) -> Catalog:
    """Check and prepare the functions that the worker has indexed.

    `expand` replaces `%settings%`. `only`: the allow list of host.json.
    """
    functions: list[Function] = []
    problems: list[Problem] = []
    prepared: dict[str, PreparedFunction] = {}
    unselected: list[str] = []
    allowed = None if only is None else {name.lower() for name in only}
    # .NET's OrdinalIgnoreCase compares upper-case letters, so "_" comes after them. The order matters to users: HTTP
    # routes are matched in it (docs/protocol/functions-host.md 4.1).
    for metadata in sorted(indexed, key=lambda metadata: metadata.name.upper()):
        if allowed is not None and metadata.name.lower() not in allowed:
            unselected.append(metadata.name)
            continue
        try:
            _check_metadata(metadata, types)
            ready = prepare(metadata, expand)
            function = Function(metadata=metadata, trigger=ready.trigger, disabled=is_disabled(metadata))
            _check_bindings(function, ready, types, functions)
        # One broken function must not keep the others from running, so errors are collected instead of raised.
        except (InvalidFunction, UnknownBindingTypes) as error:
            problems.append(Problem(metadata.name, _explained(metadata, error, types), Failing.VALIDATION))
        except EmulatorError as error:
            problems.append(Problem(metadata.name, _explained(metadata, error, types), Failing.INDEXING))
        else:
            functions.append(function)
            prepared[metadata.name] = ready
    return Catalog(functions, problems, prepared, unselected)


def _explained(metadata: FunctionMetadata, error: EmulatorError, types: BindingTypes) -> str:
    """Return the text of an error, the members that are missing, and the path of function.json if there is one."""
    # The extensions see an empty text instead of a missing member, and say that this is not a name.
    advice = [
        f"The binding '{binding.name}' needs the member \"{member}\"."
        for binding in metadata.bindings
        for member in types.required_members(binding)
        if not member_of(binding.properties, member)
    ]
    message, path = str(error), Path(metadata.directory) / FILE_NAME
    if metadata.config is not None and str(path) not in message:
        advice.append(f"See '{path}'.")
    return " ".join((f"{message.removesuffix('.')}.", *advice)) if advice else message


# The messages are those of the Functions host; their order decides which of several mistakes is reported.


def _check_metadata(metadata: FunctionMetadata, types: BindingTypes) -> None:
    """Raise InvalidFunction or UnknownBindingTypes for the first mistake in a function."""
    name = metadata.name
    if _FUNCTION_NAME.fullmatch(name) is None or name.lower() == "host":
        raise InvalidFunction(
            f"'{name}' is not a valid function name. Allowed are up to 128 letters, digits, '_' and '-', a letter in "
            "front, but not the name 'host'."
        )
    if metadata.configuration_error is not None:
        raise InvalidFunction(metadata.configuration_error)
    _check_names(metadata.bindings)
    if not metadata.bindings:
        raise InvalidFunction("At least one binding must be declared.")
    triggers = sum(binding.is_trigger for binding in metadata.bindings)
    if triggers == 0:
        raise InvalidFunction("No trigger binding specified. A function must have a trigger input binding.")
    if triggers > 1:
        raise InvalidFunction("Multiple trigger bindings defined. A function can only have a single trigger binding.")
    types.check_known(metadata.bindings)
    _check_sdk_types(metadata, types)
    # -1 means no limit. Neither rule is checked by the Python library, which only parses the numbers.
    policy = metadata.retry
    if policy is not None and policy.max_attempts < UNLIMITED:
        raise InvalidFunction(
            f"The retry policy's max_retry_count is {policy.max_attempts}; allowed: 0 and more, or -1 for no limit."
        )
    if policy is not None and policy.minimum > policy.maximum:
        raise InvalidFunction("The retry policy's minimum_interval is longer than its maximum_interval.")


def _check_sdk_types(metadata: FunctionMetadata, types: BindingTypes) -> None:
    bindings = {binding.name: binding for binding in metadata.bindings}
    for parameter, type_name in metadata.sdk_types.items():
        # Without a binding: a client such as ServiceBusMessageActions, for which none is declared.
        binding = bindings.get(parameter)
        if binding is not None and types.gives_sdk_types(binding):
            continue
        module, _, name = type_name.rpartition(".")
        # azurefunctions.extensions.bindings.blob.blobClient is a module of azurefunctions-extensions-bindings-blob.
        package = "-".join(module.split(".")[:4])
        raise InvalidFunction(
            f"The parameter '{parameter}' has the type {name} of the package {package}. azemu supports SDK types of "
            "blob bindings only, so this function does not run here. The app's other functions do. To run it, change "
            "the annotation to a type of azure.functions, str or bytes."
        )


def _check_names(bindings: Sequence[Binding]) -> None:
    for binding in bindings:
        if _BINDING_NAME.fullmatch(binding.name) is None:
            # The host's message does not say what is wrong.
            raise InvalidFunction(
                f"The binding name {binding.name} is invalid. Please assign a valid name to the binding. Allowed are "
                "1 to 128 letters, digits and single underscores (not two in a row), with no digit in front."
            )
        # `$return` is the return value of the function, so it cannot be an input.
        if binding.name == RETURN and binding.direction != "out":
            raise InvalidFunction("$return bindings must specify a direction of 'out'.")
    # The host compares without letter case and names the last of the bindings.
    counted = Counter(binding.name.lower() for binding in bindings)
    twice = [binding.name for binding in bindings if counted[binding.name.lower()] > 1]
    if twice:
        raise InvalidFunction(f"Multiple bindings with name '{twice[-1]}' discovered. Binding names must be unique.")


def _check_bindings(
    function: Function, prepared: PreparedFunction, types: BindingTypes, accepted: Sequence[Function]
) -> None:
    """Let each binding's extension check it, settings resolved, and check the expressions between bindings.

    Raises InvalidFunction and other EmulatorErrors.
    """
    # Only accepted functions are passed on: one that is left out occupies no route.
    trigger = types.trigger(function.trigger)
    trigger.validate(function, accepted)
    for binding in prepared.inputs:
        types.input(binding.binding).validate(function, binding.binding)
    for binding in prepared.outputs:
        types.output(binding.binding).validate(function, binding.binding)
    # Without this check a misspelt name would fail in every run. For triggers whose names depend on the event, the
    # host can do no better.
    if trigger.binding_names is None:
        return
    known = {name.lower() for name in trigger.binding_names(function.trigger)}
    for binding in (*prepared.inputs, *prepared.outputs):
        unknown = next((name for name in binding.names() if name.lower() not in known), None)
        if unknown is not None:
            raise ExpressionError(
                f"Unable to resolve binding parameter '{unknown}'. Binding expressions must map to either a value "
                "provided by the trigger or a property of the value the trigger is bound to, or must be a system "
                "binding expression (e.g. sys.randguid, sys.utcnow, etc.)."
            )
