"""Which functions are run, in which order, and what is said of the others: docs/protocol/functions-host.md 3.2 to
3.5."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Literal

import pytest

from emulator.config.settings import Settings
from emulator.errors import EmulatorError
from emulator.host.bindings import BindingTypes
from emulator.host.catalog import Catalog, build_catalog
from emulator.host.port import (
    BindingContext,
    Extension,
    Fallback,
    Function,
    Input,
    InvalidFunction,
    Invoke,
    Output,
    Trigger,
)
from emulator.worker.port import Binding, Datum, FunctionMetadata, RetryPolicy


async def read(context: BindingContext) -> None: ...


async def write(context: BindingContext, datum: Datum) -> None: ...


def listen(function: Function, trigger: Binding, invoke: Invoke) -> AbstractAsyncContextManager[None]:
    return nullcontext()


TYPES = BindingTypes(
    [
        Extension(
            name="things",
            triggers={"thingtrigger": Trigger(listen=listen)},
            inputs={"thing": Input(read=read)},
            outputs={"thing": Output(write=write)},
        )
    ]
)

Direction = Literal["in", "out"]


def binding(type: str, name: str, direction: Direction = "in", **members: object) -> Binding:
    return Binding(type, name, direction, None, {"type": type, "name": name, "direction": direction, **members})


TRIGGER = binding("thingTrigger", "t")


def function(name: str, *bindings: Binding) -> FunctionMetadata:
    return FunctionMetadata(name=name, id=name, bindings=bindings or (TRIGGER,))


NO_SETTINGS = Settings({})


def catalog(
    *functions: FunctionMetadata,
    settings: Settings = NO_SETTINGS,
    only: Sequence[str] | None = None,
    types: BindingTypes = TYPES,
) -> Catalog:
    return build_catalog(
        functions,
        types,
        expand=settings.expand,
        is_disabled=lambda metadata: settings.flag(f"AzureWebJobs.{metadata.name}.Disabled"),
        only=only,
    )


def test_functions_are_sorted_and_found_ignoring_letter_case() -> None:
    found = catalog(function("b_b"), function("Ba"), function("a"), function("C"))
    # Upper-case letters are compared, as .NET's OrdinalIgnoreCase does: "_" comes after "A".
    assert [one.name for one in found.functions] == ["a", "Ba", "b_b", "C"]
    assert found.find("BA") is found.functions[1]
    assert found.find("nowhere") is None


def test_only_functions_of_the_allow_list_are_in_the_catalog() -> None:
    found = catalog(function("One"), function("two"), only=["ONE"])
    assert [one.name for one in found.functions] == ["One"]
    assert found.problems == []


def test_disabled_functions_are_listed() -> None:
    found = catalog(function("f"), function("g"), settings=Settings({"AzureWebJobs.f.Disabled": "true"}))
    assert [(one.name, one.disabled) for one in found.functions] == [("f", True), ("g", False)]


NAMES = ["first_name", "_input", "a1_b2_", "x" * 128, "$return"]


@pytest.mark.parametrize("name", NAMES)
def test_a_binding_may_have_this_name(name: str) -> None:
    found = catalog(function("f", TRIGGER, binding("thing", name, "out")))
    assert found.problems == []


OUT = binding("thing", "o", "out")

WRONG = [
    (function("9lives"), "'9lives' is not a valid function name."),
    (function("Host"), "'Host' is not a valid function name."),
    (function("x" * 129), f"'{'x' * 129}' is not a valid function name."),
    (
        function("f", binding("thingTrigger", "my__timer")),
        "The binding name my__timer is invalid. Please assign a valid name to the binding.",
    ),
    (function("f", TRIGGER, binding("thing", "__")), "The binding name __ is invalid."),
    (function("f", TRIGGER, binding("thing", "1st")), "The binding name 1st is invalid."),
    (function("f", TRIGGER, binding("thing", "größe")), "The binding name größe is invalid."),
    (function("f", TRIGGER, binding("thing", "x" * 129)), f"The binding name {'x' * 129} is invalid."),
    (function("f", TRIGGER, binding("thing", "$return")), "$return bindings must specify a direction of 'out'."),
    (
        function("f", TRIGGER, OUT, binding("thing", "O", "out")),
        "Multiple bindings with name 'O' discovered. Binding names must be unique.",
    ),
    (function("f", OUT), "No trigger binding specified. A function must have a trigger input binding."),
    (
        function("f", TRIGGER, binding("otherTRIGGER", "u")),
        "Multiple trigger bindings defined. A function can only have a single trigger binding.",
    ),
    (function("f", TRIGGER, binding("nothing", "n")), "The binding type(s) 'nothing' are not registered."),
    (function("f", TRIGGER, binding("thingTrigger2", "n", "out")), "The binding type(s) 'thingTrigger2'"),
]


RETRIES = [
    (
        RetryPolicy("fixed_delay", -2),
        "The retry policy's max_retry_count is -2; allowed: 0 and more, or -1 for no limit.",
    ),
    (
        RetryPolicy("exponential_backoff", 3, minimum=2, maximum=1),
        "The retry policy's minimum_interval is longer than its maximum_interval.",
    ),
]


@pytest.mark.parametrize(("policy", "message"), RETRIES)
def test_a_contradictory_retry_policy_is_refused(policy: RetryPolicy, message: str) -> None:
    [problem] = catalog(FunctionMetadata(name="f", id="f", bindings=[TRIGGER], retry=policy)).problems
    assert problem.message == message


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_a_function_that_breaks_a_rule_is_left_out(wrong: FunctionMetadata, message: str) -> None:
    found = catalog(wrong, function("fine"))
    assert [one.name for one in found.functions] == ["fine"]
    [problem] = found.problems
    assert problem.message.startswith(message)
    assert problem.lines == [f"The '{wrong.name}' function is in error: {problem.message}"]
    assert found.errors_of(wrong.name.upper()) == [problem.message]


UNREADABLE = [
    ({"path": "%missing%/{x}"}, "'%missing%' does not resolve to a value."),
    ({"path": "100%"}, "The '%' at position 3 does not have a closing '%'"),
    ({"path": "c/{x"}, "Invalid template 'c/{x'."),
]


@pytest.mark.parametrize(("members", "message"), UNREADABLE)
def test_a_binding_that_cannot_be_created_disables_its_function(members: dict[str, Any], message: str) -> None:
    found = catalog(function("f", TRIGGER, binding("thing", "i", **members)))
    assert found.functions == []
    assert found.problems[0].lines == [
        f"Error indexing method 'Functions.f'. {found.problems[0].message}",
        "Function 'Functions.f' failed indexing and will be disabled.",
    ]
    assert found.problems[0].message.startswith(message)


def test_settings_are_resolved_in_members_but_not_in_routes_and_names() -> None:
    settings = Settings({"ENV": "dev", "Queue:Name": "q"})
    trigger = binding("thingTrigger", "t", path="%env%-orders/%queue:name%", route="%ENV%", many=["%ENV%"])
    found = catalog(function("f", trigger), settings=settings)
    assert found.functions[0].trigger.properties == {
        **trigger.properties,
        "path": "dev-orders/q",
    }
    # What the app declared stays as it was, for the admin API.
    assert found.functions[0].metadata.bindings[0].properties["path"] == "%env%-orders/%queue:name%"


def types_with(trigger: Trigger, *, input: Input | None = None, fallback: Fallback | None = None) -> BindingTypes:
    extension = Extension(
        name="things",
        triggers={"thingtrigger": trigger},
        inputs={"thing": input or Input(read=read)},
        outputs={"thing": Output(write=write)},
    )
    return BindingTypes([extension], fallback)


def test_a_trigger_is_validated_beside_the_functions_accepted_before() -> None:
    def once(candidate: Function, others: Sequence[Function]) -> None:
        if others:
            raise InvalidFunction(f"{others[0].name} was first")

    built = catalog(function("b"), function("a"), types=types_with(Trigger(listen=listen, validate=once)))
    assert [one.name for one in built.functions] == ["a"]
    assert built.problems[0].lines == ["The 'b' function is in error: a was first"]


def test_a_trigger_is_validated_with_its_settings_resolved() -> None:
    def refuse(candidate: Function, others: Sequence[Function]) -> None:
        raise EmulatorError(f"{candidate.trigger.properties['path']} is not a path")

    wrong = function("f", binding("thingTrigger", "t", path="%ENV%"))
    built = catalog(wrong, settings=Settings({"ENV": "dev"}), types=types_with(Trigger(listen=listen, validate=refuse)))
    assert built.problems[0].lines == [
        "Error indexing method 'Functions.f'. dev is not a path",
        "Function 'Functions.f' failed indexing and will be disabled.",
    ]


def test_an_input_is_validated_at_indexing() -> None:
    def refuse(owner: Function, candidate: Binding) -> None:
        raise EmulatorError(f"{candidate.name} is wrong")

    types = types_with(Trigger(listen=listen), input=Input(read=read, validate=refuse))
    [problem] = catalog(function("f", TRIGGER, binding("thing", "i")), types=types).problems
    assert problem.lines[0] == "Error indexing method 'Functions.f'. i is wrong"


CLOSED = types_with(Trigger(listen=listen, binding_names=lambda trigger: ["Name", "data"]))


@pytest.mark.parametrize("path", ["c/{name}", "c/{NAME}-{data.inner}", "{rand-guid}/{DateTime:yyyy}/{sys.utcnow}", "c"])
def test_expressions_with_names_of_the_trigger_are_accepted(path: str) -> None:
    built = catalog(function("f", TRIGGER, binding("thing", "o", "out", path=path)), types=CLOSED)
    assert built.problems == []


@pytest.mark.parametrize("direction", ["in", "out"])
def test_an_expression_with_a_name_that_the_trigger_does_not_have_fails_at_indexing(direction: Direction) -> None:
    built = catalog(function("f", TRIGGER, binding("thing", "b", direction, path="c/{name}/{other.x}")), types=CLOSED)
    assert built.problems[0].lines == [
        "Error indexing method 'Functions.f'. Unable to resolve binding parameter 'other'. Binding expressions must "
        "map to either a value provided by the trigger or a property of the value the trigger is bound to, or must be "
        "a system binding expression (e.g. sys.randguid, sys.utcnow, etc.).",
        "Function 'Functions.f' failed indexing and will be disabled.",
    ]


def test_a_trigger_without_fixed_names_accepts_every_expression() -> None:
    built = catalog(function("f", TRIGGER, binding("thing", "o", "out", path="c/{anything}")))
    assert built.problems == []


def test_a_fallback_may_serve_types_of_no_extension() -> None:
    fallback = Fallback(trigger=lambda binding: Trigger(listen=listen), input=lambda binding: Input(read=read))
    types = BindingTypes([], fallback)
    served = function("a", binding("strangeTrigger", "t"), binding("strange", "i"))
    refused = function("b", binding("strangeTrigger", "t"), binding("strange", "o", "out"))
    built = catalog(served, refused, types=types)
    assert [one.name for one in built.functions] == ["a"]
    assert built.problems[0].message.startswith("The binding type(s) 'strange' are not registered.")
