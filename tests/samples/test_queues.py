"""Queue samples: a receipt for each order, and orchestrations that messages start."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from emulator.virtual_time import VirtualClock
from tests.extensions.queues.apps import Queues, decoded, encoded
from tests.processes import PROJECT
from tests.running_apps import copy_app, run_app
from tests.waiting import eventually, logged


async def test_messages_start_orchestrations(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy_app(PROJECT / "samples" / "order-processing", tmp_path / "app")
    async with run_app(folder, clock=clock) as site:
        queues = Queues(site)
        await queues.put("incoming-orders", encoded(json.dumps({"id": "7", "item": "tea", "amount": 2})))
        [answer] = await eventually(lambda: queues.left("processed-orders"), "answer", clock=clock, within=600)
        assert json.loads(decoded(answer)) == {"id": "7", "total": 7.0}
        # An unknown item fails its activity three times, and then the orchestration.
        await queues.put("incoming-orders", encoded(json.dumps({"id": "8", "item": "beer", "amount": 1})))
        await logged(caplog, "KeyError: 'beer'", clock=clock)
        assert len(await queues.left("processed-orders")) == 1


async def test_each_order_gets_a_receipt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder = copy_app(PROJECT / "samples" / "queue-to-blob", tmp_path / "app")
    async with run_app(folder) as site:
        assert (await site.post("/api/orders", json={"id": "7", "item": "tea", "price": 3.5})).status == 202
        assert (await site.post("/api/orders", json={"item": "tea"})).status == 400
        account = site.app.accounts("AzureWebJobsStorage")

        async def receipt() -> bytes | None:
            container = account.container("receipts")
            return await container.read("7.txt") if await container.exists() else None

        assert await eventually(receipt, "receipt") == b"tea: 3.50\n"
        assert (await site.post("/api/orders", json={"id": "8", "item": "tea", "price": -1})).status == 202
        await logged(caplog, "order 8 needs a person")
