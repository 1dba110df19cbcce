"""The app's durable functions by kind and name, as the listeners of their triggers make them known.

functions = DurableFunctions()
triggers = {"orchestrationtrigger": functions.listen_for(FunctionKind.ORCHESTRATOR), …}
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from emulator.durable.core.identity import FunctionKind
from emulator.host.port import Function, Invoke, Listen, TriggerEvent
from emulator.worker.port import Binding, Datum, Returned

_log = logging.getLogger(__name__)

# Where a trigger names its orchestration, activity or entity, when that is not to be the function's name.
_NAME_PROPERTIES = {
    FunctionKind.ORCHESTRATOR: "orchestration",
    FunctionKind.ACTIVITY: "activity",
    FunctionKind.ENTITY: "entityName",
}


def name_of(kind: FunctionKind, function: str, trigger: Binding) -> str:
    """What the function is called by in orchestrations."""
    return str(trigger.properties.get(_NAME_PROPERTIES[kind]) or function)


@dataclass(frozen=True, slots=True)
class _Known:
    name: str
    invoke: Invoke
    source: str | None


class DurableFunctions:
    """Names compare without case, as everywhere in Durable Functions; each keeps the spelling of the app."""

    def __init__(self) -> None:
        self._functions: Mapping[FunctionKind, dict[str, _Known]] = {kind: {} for kind in FunctionKind}

    def listen_for(self, kind: FunctionKind) -> Listen:
        """The listener of a durable trigger: it makes the function known, the engine does the rest.

        Leaving it does not forget the function: the engine stops after the listeners, and what it still has to run is
        no unknown function.
        """

        @asynccontextmanager
        async def listen(function: Function, binding: Binding, invoke: Invoke) -> AsyncIterator[None]:
            self.add(kind, name_of(kind, function.name, binding), invoke, source=function.metadata.source)
            if function.metadata.retry is not None:
                _log.warning(
                    "The retry policy of the function '%s' is not applied: durable functions are retried by their "
                    "orchestrator, with call_activity_with_retry and call_sub_orchestrator_with_retry.",
                    function.name,
                )
            yield

        return listen

    def add(self, kind: FunctionKind, name: str, invoke: Invoke, *, source: str | None = None) -> None:
        """`source`: `file:line` of the function."""
        self._functions[kind][name.lower()] = _Known(name, invoke, source)

    def source(self, kind: FunctionKind, name: str) -> str | None:
        """`file:line` of a function, if that is known."""
        known = self._functions[kind].get(name.lower())
        return None if known is None else known.source

    def missing(self, kind: FunctionKind, name: str) -> str | None:
        """None when there is such a function, else why not, with the names that there are."""
        known = self._functions[kind]
        if name.lower() in known:
            return None
        names = ", ".join(f"'{each.name}'" for each in known.values())
        additional = (
            f"The following are the known {kind.value} functions: {names}."
            if names
            else f"No {kind.value} functions are currently registered!"
        )
        return (
            f"The function '{name}' doesn't exist, is disabled, or is not an {kind.value} function. "
            f"Additional info: {additional}"
        )

    async def invoke(self, kind: FunctionKind, name: str, value: str) -> Returned:
        """Run a known function with the trigger's value. Raises what `Invoke` raises."""
        known = self._functions[kind][name.lower()]
        # The extension starts functions through an executor that knows no reason; the host's log line shows that.
        # Not retried: an orchestrator must not run twice in one episode, and activities have retries of their own.
        return await known.invoke(TriggerEvent(value=Datum("string", value), reason="(null)", retried=False))
