"""The functions of the app as the host sees them: checked, sorted, found by name whatever its case.

A broken function is reported and left out; the others run. Source: host, FunctionMetadataManager.cs, ScriptHost.cs;
docs/protocol/functions-host.md 3.2 to 3.5.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from emulator.errors import EmulatorError
from emulator.host.bindings import RETURN, BindingTypes, PreparedFunction, prepare
from emulator.host.port import Function
from emulator.host.retries import FOR_EVER
from emulator.worker.port import Binding, FunctionMetadata, RetryPolicy

_FUNCTION_NAME = re.compile(r"[a-z][a-z0-9_\-]{0,127}", re.IGNORECASE | re.ASCII)
_BINDING_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9]{0,127}|\$return", re.ASCII)

Check = Callable[[Function, Sequence[Function]], str | None]
"""Look at a function beside those accepted before it; what is wrong with it, or None."""


class Failing(enum.Enum):
    """When a function failed, which decides how the host words it."""

    VALIDATION = "validation"
    INDEXING = "indexing"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a function is not run."""

    function: str
    message: str
    failing: Failing

    @property
    def lines(self) -> Sequence[str]:
        """As the host logs it."""
        if self.failing is Failing.VALIDATION:
            return [f"The '{self.function}' function is in error: {self.message}"]
        return [
            f"Error indexing method 'Functions.{self.function}'. {self.message}",
            f"Function 'Functions.{self.function}' failed indexing and will be disabled.",
        ]


@dataclass(frozen=True, slots=True)
class Catalog:
    """`functions`: sorted by name, ordinal, case ignored; listeners, lists and HTTP routes all go in this order.

    `prepared`: their bindings made ready, by name.
    """

    functions: Sequence[Function] = ()
    problems: Sequence[Problem] = ()
    prepared: Mapping[str, PreparedFunction] = field(default_factory=dict)

    def find(self, name: str) -> Function | None:
        wanted = name.lower()
        return next((function for function in self.functions if function.name.lower() == wanted), None)

    def errors_of(self, name: str) -> Sequence[str]:
        """What /admin/functions/{name}/status shows."""
        return [problem.message for problem in self.problems if problem.function.lower() == name.lower()]


def build_catalog(
    indexed: Iterable[FunctionMetadata],
    types: BindingTypes,
    *,
    expand: Callable[[str], str],
    is_disabled: Callable[[str], bool],
    only: Sequence[str] | None = None,
    checks: Sequence[Check] = (),
) -> Catalog:
    """`expand`: replaces `%settings%`. `only`: the allow list of host.json. `checks`: further rules, in order."""
    functions: list[Function] = []
    problems: list[Problem] = []
    prepared: dict[str, PreparedFunction] = {}
    for metadata in _chosen(indexed, only):
        problem = _invalid(metadata, types)
        if problem is not None:
            problems.append(Problem(metadata.name, problem, Failing.VALIDATION))
            continue
        try:
            ready = prepare(metadata, expand)
        except EmulatorError as error:
            problems.append(Problem(metadata.name, str(error), Failing.INDEXING))
            continue
        function = Function(metadata=metadata, trigger=ready.trigger, disabled=is_disabled(metadata.name))
        problem = next(filter(None, (check(function, functions) for check in checks)), None)
        if problem is not None:
            problems.append(Problem(metadata.name, problem, Failing.VALIDATION))
            continue
        functions.append(function)
        prepared[metadata.name] = ready
    return Catalog(functions, problems, prepared)


def _chosen(indexed: Iterable[FunctionMetadata], only: Sequence[str] | None) -> list[FunctionMetadata]:
    wanted = None if only is None else {name.lower() for name in only}
    chosen = (metadata for metadata in indexed if wanted is None or metadata.name.lower() in wanted)
    # .NET's OrdinalIgnoreCase compares upper-case letters, so "_" comes after them.
    return sorted(chosen, key=lambda metadata: metadata.name.upper())


def _invalid(metadata: FunctionMetadata, types: BindingTypes) -> str | None:
    """The first rule that a function breaks, in the host's words."""
    name = metadata.name
    if _FUNCTION_NAME.fullmatch(name) is None or name.lower() == "host":
        return f"'{name}' is not a valid function name."
    return (
        _invalid_names(metadata.bindings)
        or _invalid_set(metadata.bindings, types)
        or (None if metadata.retry is None else _invalid_retry(metadata.retry))
    )


def _invalid_retry(policy: RetryPolicy) -> str | None:
    if policy.max_attempts < FOR_EVER:
        return f"The retry policy's max_retry_count is {policy.max_attempts}; allowed: 0 and more, or -1 for ever."
    if policy.minimum > policy.maximum:
        return "The retry policy's minimum_interval is longer than its maximum_interval."
    return None


def _invalid_names(bindings: Sequence[Binding]) -> str | None:
    for binding in bindings:
        if _BINDING_NAME.fullmatch(binding.name) is None:
            hint = " Only letters and digits are allowed: rename the parameter." if "_" in binding.name else ""
            return f"The binding name {binding.name} is invalid. Please assign a valid name to the binding.{hint}"
        if binding.name == RETURN and binding.direction != "out":
            return "$return bindings must specify a direction of 'out'."
    counted = Counter(binding.name.lower() for binding in bindings)
    twice = [binding.name for binding in bindings if counted[binding.name.lower()] > 1]
    if twice:
        return f"Multiple bindings with name '{twice[-1]}' discovered. Binding names must be unique."
    return None


def _invalid_set(bindings: Sequence[Binding], types: BindingTypes) -> str | None:
    if not bindings:
        return "At least one binding must be declared."
    triggers = [binding for binding in bindings if binding.is_trigger]
    if not triggers:
        return "No trigger binding specified. A function must have a trigger input binding."
    if len(triggers) > 1:
        return "Multiple trigger bindings defined. A function can only have a single trigger binding."
    unknown = [binding.type for binding in bindings if not types.is_known(binding)]
    if unknown:
        return (
            f"The binding type(s) '{', '.join(unknown)}' are not registered. Please ensure the type is correct and "
            f"the binding extension is installed."
        )
    return None
