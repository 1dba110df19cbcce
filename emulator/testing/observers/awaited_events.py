"""External events that the app's orchestrations wait for, taken from the last response of their orchestrator functions.

A history does not contain them: an orchestrator that waits for an event leaves no row. Its response to the host lists
the wait as an action, however.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from emulator import bound_json as json
from emulator.durable.core.events import EventRaised, HistoryEvent
from emulator.durable.core.replay.actions import Action, WaitForExternalEvent, WhenAll, WhenAny
from emulator.extensions.durable.protocol.orchestrators import response_of
from emulator.worker.port import FunctionMetadata, Invocation, Returned

_TRIGGER = "orchestrationtrigger"
_INSTANCE_ID = '"instanceId": '


class AwaitedEvents:
    """The events that instances wait for. To be used on the host's loop only."""

    def __init__(self) -> None:
        # The name of the parameter that has the orchestration context, by function name.
        self._context_parameters: dict[str, str] = {}
        # The last response of the orchestrator function, by instance ID.
        self._responses: dict[str, str] = {}

    def functions_loaded(self, functions: Sequence[FunctionMetadata]) -> None:
        """Note which functions are orchestrators."""
        self._context_parameters = {
            function.name: binding.name
            for function in functions
            for binding in function.bindings
            if binding.type.lower() == _TRIGGER
        }

    def function_returned(self, invocation: Invocation, returned: Returned) -> None:
        """Note the response if the function is an orchestrator."""
        context = invocation.inputs.get(self._context_parameters.get(invocation.function, ""))
        if context is None or returned.value is None:
            return
        text = str(context.value)
        # The last occurrence, because the history before it can be long. Texts in the history cannot be mistaken for
        # it: there the quotes are escaped.
        instance_id, _ = json.JSONDecoder().raw_decode(text, text.rindex(_INSTANCE_ID) + len(_INSTANCE_ID))
        self._responses[str(instance_id)] = str(returned.value.value)

    def names(self, instance_id: str, history: Sequence[HistoryEvent]) -> Sequence[str]:
        """Return the names of the events that the instance waits for and that its history does not contain yet."""
        response = response_of(self._responses.get(instance_id))
        # Counted, because an orchestrator may wait for several events of the same name.
        awaited = Counter(_event_names(response.actions or ()))
        raised = Counter(event.name for event in history if isinstance(event, EventRaised))
        return [name for name in awaited if awaited[name] > raised[name]]


def _event_names(actions: Sequence[Action]) -> Iterator[str]:
    for action in actions:
        match action:
            case WaitForExternalEvent(name):
                yield name
            case WhenAny(inner) | WhenAll(inner):
                yield from _event_names(inner)
            case _:
                pass
