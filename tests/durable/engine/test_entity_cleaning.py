"""Entity clean-up: empty entities, and locks whose holders have ended without releasing them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from emulator.durable.client import CleanedEntities, DurableClient
from emulator.durable.core.entities.messages import Request, Timestamp
from emulator.durable.core.events import EventRaised
from emulator.durable.core.identity import EntityId
from emulator.ids import hyphenated, new_id
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock
from tests.durable.azurestorage.world import OPTIONS
from tests.durable.engine.app import App, running_app
from tests.recordings import RECORDED_APP

KEPT, GONE = EntityId("counter", "kept"), EntityId("counter", "gone")


@pytest.fixture
async def app(account: StorageAccount, clock: VirtualClock) -> AsyncIterator[App]:
    async with running_app(RECORDED_APP, account, clock) as app:
        yield app


def client_of(app: App, **changes: object) -> DurableClient:
    return DurableClient(app.hub, replace(OPTIONS, **changes), clock=app.clock, new_id=new_id)  # type: ignore[arg-type]


async def lock(app: App, entity: EntityId, holder: str) -> None:
    """As an orchestration in another language does it."""
    request = Request(id=hyphenated(new_id()), parent=holder, lockset=(entity,), timestamp=Timestamp(app.now))
    await app.send(entity.instance_id, EventRaised(timestamp=app.now, name="op", input=request.from_instance()))
    await app.clock.sleep(5)


async def locked_by(app: App, entity: EntityId) -> object:
    return json.loads((await app.status(entity.instance_id)).custom_status or "{}").get("lockedBy")


async def test_an_empty_entity_is_removed_after_the_reorder_window(app: App) -> None:
    for entity in (KEPT, GONE):
        await app.signal_entity(entity, "add", 1)
    await app.signal_entity(GONE, "delete", None)
    await app.clock.sleep(60)
    client = client_of(app)
    assert await client.clean_entities() == CleanedEntities()
    await app.clock.sleep(30 * 60)
    assert await client.clean_entities(remove_empty=False) == CleanedEntities()
    assert await client.clean_entities() == CleanedEntities(empty_removed=1)
    assert await client.status(GONE.instance_id) is None
    assert await client.history(GONE.instance_id) == ()
    assert await client.entity_state(KEPT) == "1"


async def test_a_lock_of_an_instance_that_has_ended_is_released(app: App) -> None:
    await app.begin("approval", 3600, id="holder")
    await app.signal_entity(KEPT, "add", 1)
    await lock(app, KEPT, "holder")
    await app.signal_entity(KEPT, "add", 2)
    await app.clock.sleep(5)
    client = client_of(app)
    assert (await locked_by(app, KEPT), await client.entity_state(KEPT)) == ("holder", "1")
    assert await client.clean_entities() == CleanedEntities()  # it runs
    await app.terminate("holder", "enough")
    await app.output("holder")
    assert await client.clean_entities(release_locks=False) == CleanedEntities()
    assert await client.clean_entities() == CleanedEntities(locks_released=1)
    await app.clock.sleep(5)
    assert (await locked_by(app, KEPT), await client.entity_state(KEPT)) == (None, "3")


async def test_a_lock_of_an_unknown_instance_is_released(app: App) -> None:
    await lock(app, KEPT, "never-was")
    assert await locked_by(app, KEPT) == "never-was"
    assert await client_of(app).clean_entities() == CleanedEntities(locks_released=1)
