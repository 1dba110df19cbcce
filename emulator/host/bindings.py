"""Which extension serves which binding type, and the bindings of a function made ready for its invocations.

Settings (`%name%`) are resolved once, when the app is indexed; expressions (`{name}`) are read then and rendered for
every invocation. Source: webjobs-sdk, NameResolverExtensions; docs/protocol/functions-host.md chapter 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from emulator.host.expressions import BindingData, Template, parse_template
from emulator.host.port import Extension, Listen, ReadInput, WriteOutput
from emulator.worker.port import Binding, FunctionMetadata

RETURN = "$return"
HTTP_TRIGGER = "httptrigger"
# The response of an HTTP function; whoever received the request renders it.
HTTP_OUTPUT = "http"

# Members that name things of the binding itself, and those whose text is taken literally by the real host.
_NO_SETTINGS = frozenset(("type", "name", "direction", "datatype", "route"))
_NO_EXPRESSIONS = _NO_SETTINGS | frozenset(("connection",))


class BindingTypes:
    """Readers and writers of all extensions by binding type, whatever its case."""

    def __init__(self, extensions: Iterable[Extension]) -> None:
        self._triggers: dict[str, Listen] = {}
        self._inputs: dict[str, ReadInput] = {}
        self._outputs: dict[str, WriteOutput] = {}
        for extension in extensions:
            self._triggers.update(extension.triggers)
            self._inputs.update(extension.inputs)
            self._outputs.update(extension.outputs)

    def is_known(self, binding: Binding) -> bool:
        kind = binding.type.lower()
        if binding.is_trigger:
            return kind in self._triggers
        if binding.direction == "in":
            return kind in self._inputs
        return kind in self._outputs or kind == HTTP_OUTPUT

    def listen(self, binding: Binding) -> Listen:
        return self._triggers[binding.type.lower()]

    def reader(self, binding: Binding) -> ReadInput:
        return self._inputs[binding.type.lower()]

    def writer(self, binding: Binding) -> WriteOutput | None:
        """None: the value goes back to the trigger, as an HTTP response does."""
        return self._outputs.get(binding.type.lower())


@dataclass(frozen=True, slots=True)
class PreparedBinding:
    """A binding with its settings resolved and its expressions read. `templates`: of the members that have any."""

    binding: Binding
    templates: Mapping[str, Template]

    def render(self, data: BindingData) -> Mapping[str, object]:
        """The members for one invocation. Raises ExpressionError."""
        rendered = {name: template.render(data) for name, template in self.templates.items()}
        return {**self.binding.properties, **rendered}


@dataclass(frozen=True, slots=True)
class PreparedFunction:
    """`trigger` has its settings resolved; expressions in it are the trigger's own affair (blob path captures)."""

    metadata: FunctionMetadata
    trigger: Binding
    inputs: Sequence[PreparedBinding]
    outputs: Sequence[PreparedBinding]


def prepare(metadata: FunctionMetadata, expand: Callable[[str], str]) -> PreparedFunction:
    """Raises ConfigurationError (an unknown setting) and ExpressionError (a malformed template)."""
    resolved = [resolve_settings(binding, expand) for binding in metadata.bindings]
    return PreparedFunction(
        metadata,
        next(binding for binding in resolved if binding.is_trigger),
        [_prepared(binding) for binding in resolved if binding.direction == "in" and not binding.is_trigger],
        [_prepared(binding) for binding in resolved if binding.direction == "out"],
    )


def resolve_settings(binding: Binding, expand: Callable[[str], str]) -> Binding:
    """The same binding with `%name%` replaced. Raises what `expand` raises."""
    properties = {
        name: value if name.lower() in _NO_SETTINGS else _expanded(value, expand)
        for name, value in binding.properties.items()
    }
    return replace(binding, properties=properties)


def _expanded(value: Any, expand: Callable[[str], str]) -> Any:
    return expand(value) if isinstance(value, str) and "%" in value else value


def _prepared(binding: Binding) -> PreparedBinding:
    templates = {
        name: template
        for name, value in binding.properties.items()
        if isinstance(value, str) and name.lower() not in _NO_EXPRESSIONS and ("{" in value or "}" in value)
        for template in [parse_template(value)]
    }
    return PreparedBinding(binding, templates)
