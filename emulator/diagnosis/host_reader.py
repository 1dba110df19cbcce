"""Reader of the running host: what it runs, has received and owns, and which functions the app has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emulator.app_paths import shown_path
from emulator.diagnosis.facts import HostFacts, InstanceFacts, Limits, Position
from emulator.diagnosis.positions import Trace, position_of
from emulator.durable.core.identity import FunctionKind
from emulator.durable.engine.work_log import WorkKey
from emulator.extensions.durable.functions import TRIGGERS, find_function, name_of
from emulator.extensions.durable.services import DurableServices
from emulator.host.host import Host
from emulator.worker.yields import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningHost:
    """A host of the hub in this process. `root`: the app's folder.

    `trace`: see `positions.Trace`. `places`: where the running calls of a function are, by the function's name.
    """

    host: Host
    root: Path
    trace: Trace
    places: Callable[[str], Sequence[str]]

    @property
    def services(self) -> DurableServices | None:
        """The durable services of the app; None if it has no durable functions."""
        found = (extension.services() for extension in self.host.extensions if extension.name == "durableTask")
        services = next(found, None)
        return services if isinstance(services, DurableServices) else None

    def facts(self, instance_ids: Sequence[str]) -> HostFacts | None:
        """Return what this host knows of these instances; None if it has no durable functions."""
        services = self.services
        if services is None:
            return None
        log, hub, options = services.work_log, services.own_hub, services.options
        functions = self.host.catalog.functions
        called = {work.name.lower(): find_function(functions, work.kind, work.name) for work in log.running}
        return HostFacts(
            name=hub.worker_id,
            owned_queues=frozenset(hub.owned_queues()),
            received=frozenset(filter(hub.has_messages, instance_ids)),
            activities=frozenset(hub.activities_in_flight()),
            running=log.running,
            failed=log.failed,
            generations=log.generations,
            functions={
                kind: frozenset(name.lower() for name in services.functions.names(kind)) for kind in FunctionKind
            },
            switched_off=self._switched_off(),
            places={name: self.places(function.name) for name, function in called.items() if function is not None},
            load_errors=self.host.load_errors,
            limits=Limits(
                activities=options.max_concurrent_activity_functions,
                orchestrators=options.max_concurrent_orchestrator_functions,
                entities=options.max_concurrent_entity_functions,
            ),
        )

    async def position(self, facts: InstanceFacts) -> Position | None:
        """Return where the code of an instance waits; None if this host does not have its orchestrator."""
        services = self.services
        function = find_function(self.host.catalog.functions, FunctionKind.ORCHESTRATOR, facts.name)
        if services is None or function is None:
            return None
        # A function that blocks would block the replay, too.
        if services.work_log.running_of(WorkKey(facts.instance_id)) is not None:
            return None
        interval = services.options.http_settings.default_async_request_sleep_time
        position = await position_of(facts, self.trace, function.name, http_poll_interval=interval)

        def relative(place: Place) -> Place:
            # Findings show paths from the app's folder; code of libraries keeps its whole path.
            return Place(shown_path(Path(place.file), self.root), place.line)

        return replace(
            position,
            place=relative(position.place) if position.place else None,
            places={number: relative(place) for number, place in position.places.items()},
        )

    def _switched_off(self) -> Mapping[str, str]:
        """Return the durable functions that the app declares and that do not run, and why."""
        off: dict[str, str] = {}
        for function in self.host.catalog.functions:
            kind = TRIGGERS.get(function.trigger.type.lower())
            if kind is not None and function.disabled:
                off[name_of(kind, function.name, function.trigger).lower()] = (
                    f"it is disabled (app setting AzureWebJobs.{function.name}.Disabled)"
                )
        for name in self.host.catalog.unselected:
            off.setdefault(
                name.lower(), "it is not among the selected functions (--functions, or functions in host.json)"
            )
        for problem in self.host.catalog.problems:
            # In place of another reason: without this error corrected, switching the function on does not help.
            off[problem.function.lower()] = problem.message
        return off
