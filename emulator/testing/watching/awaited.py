"""Which external events the app's orchestrators wait for: what they answered last tells it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from emulator.durable.core.events import EventRaised, HistoryEvent
from emulator.durable.core.replay.actions import Action, WaitForExternalEvent, WhenAll, WhenAny
from emulator.extensions.durable.protocol.orchestrators import answer_of
from emulator.worker.port import FunctionMetadata, Invocation, Returned

_TRIGGER = "orchestrationtrigger"
_ID = '"instanceId": '


class Awaited:
    """Belongs to the host's loop."""

    def __init__(self) -> None:
        # The parameter that is the context, by the function's name.
        self._contexts: dict[str, str] = {}
        self._answers: dict[str, str] = {}

    def know(self, functions: Sequence[FunctionMetadata]) -> None:
        self._contexts = {
            function.name: binding.name
            for function in functions
            for binding in function.bindings
            if binding.type.lower() == _TRIGGER
        }

    def note(self, invocation: Invocation, returned: Returned) -> None:
        context = invocation.inputs.get(self._contexts.get(invocation.function, ""))
        if context is not None and returned.value is not None:
            self._answers[_instance_id(str(context.value))] = str(returned.value.value)

    def events(self, instance_id: str, history: Sequence[HistoryEvent]) -> Sequence[str]:
        """Their names, each once."""
        answer = answer_of(self._answers.get(instance_id))
        asked = Counter(_events(answer.actions or ()))
        raised = Counter(event.name for event in history if isinstance(event, EventRaised))
        return [name for name in asked if asked[name] > raised[name]]


def _instance_id(context: str) -> str:
    # The history before it may be long, and hold the same words in quotes only with backslashes.
    instance_id, _ = json.JSONDecoder().raw_decode(context, context.rindex(_ID) + len(_ID))
    return str(instance_id)


def _events(actions: Sequence[Action]) -> Iterator[str]:
    for action in actions:
        match action:
            case WaitForExternalEvent(name):
                yield name
            case WhenAny(inner) | WhenAll(inner):
                yield from _events(inner)
            case _:
                pass
