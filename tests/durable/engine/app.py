"""A function app on a task hub: the official SDK, the worker, the engine and the hub, without an HTTP host."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from emulator.clock import Clock
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.core.identity import TERMINAL, EntityId, FunctionKind
from emulator.durable.engine.worker import engine
from emulator.durable.hub import InstanceStatus
from emulator.extensions.durable.executor import FunctionsExecutor
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.http_activity import http_activity
from emulator.host.port import Function, Invoke, TriggerEvent
from emulator.ids import hyphenated, new_id
from emulator.storage.port import StorageAccount
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import FunctionMetadata, Invocation, LogRecord, Returned, Worker
from tests.durable.azurestorage.world import OPTIONS, World

_KINDS = {
    "orchestrationtrigger": FunctionKind.ORCHESTRATOR,
    "activitytrigger": FunctionKind.ACTIVITY,
    "entitytrigger": FunctionKind.ENTITY,
}


class App(World):
    """`World` in the encoding of the Python client: JSON text as a JSON string."""

    async def run(self, name: str, input: Any = None, *, id: str = "i1") -> Any:
        """Start, wait for the end, and give the output: a value when it completed, else the text of the failure."""
        await self.begin(name, input, id=id)
        return await self.output(id)

    async def begin(self, name: str, input: Any = None, *, id: str = "i1") -> None:
        await self.start(name, None if input is None else json.dumps(input), id=id)

    async def output(self, id: str = "i1") -> Any:
        status = await self._end_of(id)
        try:
            return json.loads(status.output or "null")
        except ValueError:
            return status.output

    async def _end_of(self, id: str) -> InstanceStatus:
        """Looks less and less often, so that days take no longer than seconds."""
        pause = 0.05
        while True:
            status = await self.hub.status(id)
            if status is not None and status.runtime_status in TERMINAL:
                return status
            await self.clock.sleep(pause)
            pause = min(pause * 1.5, 3600)

    async def tell(self, id: str, event: str, value: Any = None) -> None:
        await self.raise_event(id, event, json.dumps(value))

    async def signal_entity(self, entity: EntityId, operation: str, value: Any) -> None:
        await self.signal(entity.instance_id, operation, json.dumps(value))

    async def entity_state(self, entity: EntityId) -> Any:
        status = await self.status(entity.instance_id)
        return json.loads(status.input or "{}").get("state")


@asynccontextmanager
async def running_app(root: Path, account: StorageAccount, clock: Clock) -> AsyncIterator[App]:
    hub = AzureStorageTaskHub(OPTIONS, account, clock=clock, new_id=new_id)
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(InProcessWorker(root, settings={}, clock=clock, on_log=_ignore))
        functions = DurableFunctions()
        for metadata in await worker.load():
            await _offer(functions, metadata, worker, stack)
        http = await stack.enter_async_context(http_activity({}, clock))
        executor = FunctionsExecutor(functions, http, OPTIONS)
        await stack.enter_async_context(hub.working())
        await stack.enter_async_context(engine(hub, executor, OPTIONS, clock=clock))
        yield App(hub, clock)


async def _offer(
    functions: DurableFunctions, metadata: FunctionMetadata, worker: Worker, stack: AsyncExitStack
) -> None:
    [trigger] = [binding for binding in metadata.bindings if binding.is_trigger]
    kind = _KINDS.get(trigger.type.lower())
    if kind is not None:
        listen = functions.listen_for(kind)
        invoke = _invoke_of(metadata.name, trigger.name, worker)
        await stack.enter_async_context(listen(Function(metadata=metadata, trigger=trigger), trigger, invoke))


def _invoke_of(function: str, parameter: str, worker: Worker) -> Invoke:
    async def invoke(event: TriggerEvent) -> Returned:
        return await worker.invoke(
            Invocation(id=hyphenated(new_id()), function=function, inputs={parameter: event.value})
        )

    return invoke


def _ignore(record: LogRecord) -> None:
    pass
