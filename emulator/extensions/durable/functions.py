"""Registry of the app's orchestrator, activity and entity functions, filled by the listeners of their triggers.

functions = DurableFunctions()
triggers = {"orchestrationtrigger": functions.listen_for(FunctionKind.ORCHESTRATOR), …}
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from emulator.durable.core.identity import FunctionKind
from emulator.host.port import Function, Invoke, Listen, TriggerEvent
from emulator.logs import get_logger
from emulator.worker.large_text import LargeText
from emulator.worker.port import Binding, Datum, Returned, member_of

_log = get_logger(__name__)

TRIGGERS: Final[Mapping[str, FunctionKind]] = {
    "orchestrationtrigger": FunctionKind.ORCHESTRATOR,
    "activitytrigger": FunctionKind.ACTIVITY,
    "entitytrigger": FunctionKind.ENTITY,
}
"""Kinds of durable functions by the type of their trigger in lower case."""

CLIENTS: Final = frozenset(("durableclient", "orchestrationclient"))
"""Types of the client binding. The second one is the name of version 1 of the extension, which still works on Azure."""

# The trigger's property with the name of the orchestration, activity or entity, if it differs from the function's.
_NAME_PROPERTIES = {
    FunctionKind.ORCHESTRATOR: "orchestration",
    FunctionKind.ACTIVITY: "activity",
    FunctionKind.ENTITY: "entityName",
}


def name_of(kind: FunctionKind, function: str, trigger: Binding) -> str:
    """Return the name by which orchestrations and clients call the function."""
    return str(member_of(trigger.properties, _NAME_PROPERTIES[kind]) or function)


def find_function(functions: Iterable[Function], kind: FunctionKind, name: str) -> Function | None:
    """Return the function of a kind that orchestrations and clients call `name`, in any letter case."""
    for function in functions:
        if TRIGGERS.get(function.trigger.type.lower()) is not kind:
            continue
        if name_of(kind, function.name, function.trigger).lower() == name.lower():
            return function
    return None


def is_durable(functions: Iterable[Function]) -> bool:
    """Return whether one of the functions is a durable function, or has a durable client."""
    types = (binding.type.lower() for function in functions for binding in function.metadata.bindings)
    return any(type in TRIGGERS or type in CLIENTS for type in types)


@dataclass(frozen=True, slots=True)
class _Registered:
    name: str
    invoke: Invoke
    source: str | None
    load_error: str | None


class DurableFunctions:
    """Durable functions by kind and name. Names ignore letter case, as everywhere in Durable Functions.

    `app_is_loaded` False: the functions of the app are not known, so none of them is missing.
    """

    def __init__(self, *, app_is_loaded: bool = True) -> None:
        self._app_is_loaded = app_is_loaded
        self._functions: Mapping[FunctionKind, dict[str, _Registered]] = {kind: {} for kind in FunctionKind}

    def listen_for(self, kind: FunctionKind) -> Listen:
        """Return the listener of a durable trigger: it registers the function, which the engine then calls."""

        # The function stays registered when the listener stops. The engine stops after it, and a function that it
        # still has to run would otherwise fail as unknown, which orchestrations would record as a failure.

        @asynccontextmanager
        async def listen(function: Function, binding: Binding, invoke: Invoke) -> AsyncIterator[None]:
            self.add(
                kind,
                name_of(kind, function.name, binding),
                invoke,
                source=function.metadata.source,
                load_error=function.metadata.load_error,
            )
            if function.metadata.retry is not None:
                _log.warning(
                    "The retry policy of the function '%s' is not applied: durable functions are retried by their "
                    "orchestrator, with call_activity_with_retry and call_sub_orchestrator_with_retry.",
                    function.name,
                )
            yield

        return listen

    def add(
        self,
        kind: FunctionKind,
        name: str,
        invoke: Invoke,
        *,
        source: str | None = None,
        load_error: str | None = None,
    ) -> None:
        """Register a function. `source`: its `file:line`. `load_error`: why every call of it fails."""
        self._functions[kind][name.lower()] = _Registered(name, invoke, source, load_error)

    def names(self, kind: FunctionKind) -> Sequence[str]:
        """Return the names by which functions of this kind are called."""
        return [function.name for function in self._functions[kind].values()]

    def source(self, kind: FunctionKind, name: str) -> str | None:
        """Return `file:line` of a function if it is known."""
        function = self._functions[kind].get(name.lower())
        return None if function is None else function.source

    def load_error(self, kind: FunctionKind, name: str) -> str | None:
        """Return why the script of a function could not be loaded; None if it was, or if there is no such function."""
        function = self._functions[kind].get(name.lower())
        return None if function is None else function.load_error

    def missing(self, kind: FunctionKind, name: str) -> str | None:
        """Return None if there is such a function, else the extension's message with the known names."""
        functions = self._functions[kind]
        if name.lower() in functions or not self._app_is_loaded:
            return None
        names = ", ".join(f"'{function.name}'" for function in functions.values())
        additional = (
            f"The following are the known {kind.value} functions: {names}."
            if names
            else f"No {kind.value} functions are currently registered!"
        )
        return (
            f"The function '{name}' doesn't exist, is disabled, or is not an {kind.value} function. "
            f"Additional info: {additional}"
        )

    async def invoke(self, kind: FunctionKind, name: str, value: str | LargeText, *, instance_id: str) -> Returned:
        """Run a registered function with the trigger's value. Raises what `Invoke` raises.

        `instance_id`: of the orchestration or entity that runs it.
        """
        function = self._functions[kind][name.lower()]
        # The .NET extension starts functions without a reason, and the host's log line shows "(null)" for it. Retry
        # policies do not apply: an orchestrator must run once per episode, and activities are retried by their
        # orchestrator.
        return await function.invoke(
            TriggerEvent(value=Datum("string", value), reason="(null)", retried=False, instance_id=instance_id)
        )
