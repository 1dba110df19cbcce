"""Binding types by extension, and a function's bindings prepared for its invocations.

Settings (`%name%`) are resolved once, when the app is indexed. Expressions (`{name}`) are parsed at that time and
rendered for every invocation. Source: webjobs-sdk, NameResolverExtensions; docs/protocol/functions-host.md chapter 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from emulator.config.connections import DEFAULT_CONNECTION
from emulator.errors import EmulatorError
from emulator.host.expressions import BindingData, Template, is_built_in, parse_template
from emulator.host.port import (
    Extension,
    Fallback,
    Input,
    InvalidFunction,
    Output,
    RenderMember,
    Trigger,
    UnknownBindingType,
)
from emulator.worker.port import Binding, FunctionMetadata, member_of

RETURN = "$return"
# The host starts listeners of this type before all others, and keeps them when it drains.
HTTP_TRIGGER = "httptrigger"
# The admin API looks for a function of this type, which may have any name.
WARMUP_TRIGGER = "warmuptrigger"
# The response of an HTTP function, which the http extension renders.
HTTP_OUTPUT = "http"
# The invoker writes outputs of this type after all others.
QUEUE_OUTPUT = "queue"

# Members that name things of the binding itself, and routes, which the Functions host takes literally. A route may
# contain `%` as part of an escape, so resolving it would break URLs.
_NO_SETTINGS = frozenset(("type", "name", "direction", "datatype", "route"))
# The host resolves `%x%` in the name of a connection, but braces in it are ordinary characters.
_NO_EXPRESSIONS = _NO_SETTINGS | frozenset(("connection",))


class UnknownBindingTypes(EmulatorError):
    """A function has bindings of types that nothing serves. The message is the Functions host's."""

    def __init__(self, binding_types: Iterable[str]) -> None:
        super().__init__(
            f"The binding type(s) '{', '.join(binding_types)}' are not registered. Please ensure the type is correct "
            f"and the binding extension is installed."
        )


class BindingTypes:
    """Triggers, inputs and outputs of all extensions by binding type, in any letter case.

    `fallback` decides about types that no extension has. `around_output`: wraps each output of the extensions.
    """

    def __init__(
        self,
        extensions: Iterable[Extension],
        fallback: Fallback | None = None,
        *,
        around_output: Callable[[Output], Output] = lambda output: output,
    ) -> None:
        self._fallback = fallback or Fallback()
        self._triggers: dict[str, Trigger] = {}
        self._inputs: dict[str, Input] = {}
        self._outputs: dict[str, Output] = {}
        for extension in extensions:
            self._triggers.update(extension.triggers)
            self._inputs.update(extension.inputs)
            self._outputs.update((name, around_output(output)) for name, output in extension.outputs.items())

    def trigger(self, binding: Binding) -> Trigger:
        """Return the trigger of a binding type. Raises UnknownBindingType."""
        return self._triggers.get(binding.type.lower()) or self._fallback.trigger(binding)

    def input(self, binding: Binding) -> Input:
        """Return the input of a binding type. Raises UnknownBindingType."""
        return self._inputs.get(binding.type.lower()) or self._fallback.input(binding)

    def output(self, binding: Binding) -> Output:
        """Return the output of a binding type. Raises UnknownBindingType."""
        return self._outputs.get(binding.type.lower()) or self._fallback.output(binding)

    def required_members(self, binding: Binding) -> Sequence[str]:
        """Return the members without which a binding cannot work; none for a type that is not known."""
        try:
            return self._record(binding).required_members
        except UnknownBindingType:
            return ()

    def gives_sdk_types(self, binding: Binding) -> bool:
        """Whether a trigger or input gives clients of an Azure SDK. Raises UnknownBindingType."""
        return (self.trigger(binding) if binding.is_trigger else self.input(binding)).gives_sdk_types

    def check_known(self, bindings: Iterable[Binding]) -> None:
        """Raise UnknownBindingTypes with all types that are unknown, or InvalidFunction for a wrong direction."""
        # The host names all unknown types of a function in one message, so the first one must not end the search.
        unknown = []
        for binding in bindings:
            self._check_direction(binding)
            try:
                self._record(binding)
            except UnknownBindingType as error:
                unknown.append(error.binding_type)
        if unknown:
            raise UnknownBindingTypes(unknown)

    def _record(self, binding: Binding) -> Trigger | Input | Output:
        if binding.is_trigger:
            return self.trigger(binding)
        return self.input(binding) if binding.direction == "in" else self.output(binding)

    def _check_direction(self, binding: Binding) -> None:
        # The fallback would take such a binding for one of a service that azemu does not know.
        name = binding.type.lower()
        is_input, is_output = name in self._inputs, name in self._outputs
        if binding.is_trigger or is_input == is_output or (binding.direction == "in") is is_input:
            return
        allowed = "in" if is_input else "out"
        raise InvalidFunction(
            f"The binding '{binding.name}' has the direction '{binding.direction}', but a binding of type "
            f"'{binding.type}' is an {allowed}put. Set its direction to '{allowed}'."
        )


@dataclass(frozen=True, slots=True)
class PreparedBinding:
    """A binding with its settings resolved. `templates`: the parsed expressions of the members that contain any."""

    binding: Binding
    templates: Mapping[str, Template]

    def render(self, data: BindingData, renderers: Mapping[str, RenderMember]) -> Mapping[str, object]:
        """Return the members for one invocation. `renderers`: see `Input`. Raises ExpressionError."""
        rendered = {
            name: renderers.get(name.lower(), Template.render)(template, data)
            for name, template in self.templates.items()
        }
        return {**self.binding.properties, **rendered}

    def names(self) -> list[str]:
        """Return the names that the expressions take from the trigger's binding data, without built-in ones."""
        # Only the first part of `{a.b}` is a name. The other parts are members of its value, which differ from event to
        # event and can be checked only when the template is rendered.
        return [
            expression.path[0]
            for template in self.templates.values()
            for expression in template.expressions
            if not is_built_in(expression.path[0])
        ]


@dataclass(frozen=True, slots=True)
class PreparedFunction:
    """The bindings of a function with their settings resolved.

    Expressions in `trigger` are left to the trigger: in a blob path they are captures, not values.
    """

    metadata: FunctionMetadata
    trigger: Binding
    inputs: Sequence[PreparedBinding]
    outputs: Sequence[PreparedBinding]


def cut_formats(function: PreparedFunction) -> list[str]:
    """Return warnings about dates such as {datetime:yyyy.MM.dd}, whose formats end at their first dot."""
    return [
        f"Function '{function.metadata.name}', binding '{prepared.binding.name}': in '{name}', the format of "
        f"{{{expression.path[-1]}:{expression.form}{expression.ignored}}} ends at its first dot, here and on Azure, so "
        f"it is '{expression.form}'. Separate the parts with another character, such as a hyphen."
        for prepared in (*function.inputs, *function.outputs)
        for name, template in prepared.templates.items()
        for expression in template.expressions
        if expression.ignored and is_built_in(expression.path[0])
    ]


def connection_of(binding: Binding) -> str:
    """Return the connection name of a storage binding; AzureWebJobsStorage if it has none."""
    return str(member_of(binding.properties, "connection") or DEFAULT_CONNECTION)


# Parsing at indexing has two reasons: a mistake is reported once instead of in every run, as on Azure, and rendering is
# on the path of every invocation.
def prepare(metadata: FunctionMetadata, expand: Callable[[str], str]) -> PreparedFunction:
    """Resolve the settings of a function's bindings and parse their expressions.

    Raises ConfigurationError for an unknown setting and ExpressionError for a malformed template.
    """
    resolved = [resolve_settings(binding, expand) for binding in metadata.bindings]
    return PreparedFunction(
        metadata,
        next(binding for binding in resolved if binding.is_trigger),
        [_prepare(binding) for binding in resolved if binding.direction == "in" and not binding.is_trigger],
        [_prepare(binding) for binding in resolved if binding.direction == "out"],
    )


def resolve_settings(binding: Binding, expand: Callable[[str], str]) -> Binding:
    """Return the same binding with `%name%` replaced. Raises what `expand` raises."""

    def resolved(name: str, value: Any) -> Any:
        # Only texts are looked at, as in the host: an array such as `methods` is not searched.
        if name.lower() in _NO_SETTINGS or not isinstance(value, str) or "%" not in value:
            return value
        return expand(value)

    return replace(binding, properties={name: resolved(name, value) for name, value in binding.properties.items()})


def _prepare(binding: Binding) -> PreparedBinding:
    templates = {
        name: parse_template(value)
        for name, value in binding.properties.items()
        if isinstance(value, str) and name.lower() not in _NO_EXPRESSIONS and ("{" in value or "}" in value)
    }
    return PreparedBinding(binding, templates)
