"""Messages of queue triggers on storage that responds slowly."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from emulator.ids import new_id
from emulator.polling.crash_recovery.host_identity import open_host_identities
from emulator.polling.message_listener import ListenerOptions, MessageProcessor, Outcome, listening
from emulator.storage.builtin import open_builtin
from emulator.storage.port import Queue, QueueMessage, StorageAccount
from emulator.virtual_time import VirtualClock
from tests.storage.bench import take


class SlowAccount:
    """An account whose queues renew locks six seconds after they are asked to."""

    def __init__(self, account: StorageAccount, clock: VirtualClock) -> None:
        self._account = account
        self._clock = clock

    def queue(self, name: str) -> Any:
        account, clock = self._account, self._clock

        class SlowQueue:
            def __getattr__(self, member: str) -> Any:
                return getattr(account.queue(name), member)

            async def hide(self, message: QueueMessage, hide_for: timedelta) -> QueueMessage:
                await clock.sleep(6)
                return await account.queue(name).hide(message, hide_for=hide_for)

        return SlowQueue()


async def test_slow_storage_does_not_use_up_the_attempts_of_a_message(tmp_path: Path, clock: VirtualClock) -> None:
    attempts: list[int] = []

    async def run(message: QueueMessage) -> Outcome:
        attempts.append(message.dequeue_count)
        await clock.sleep(60)
        return Outcome.FAILED if len(attempts) == 1 else Outcome.DONE

    options = ListenerOptions(
        batch_size=1, new_batch_threshold=1, max_polling_interval=timedelta(seconds=1), max_dequeue_count=5
    )
    async with open_builtin(None, clock) as account:
        orders, poison = account.queue("orders"), account.queue("orders-poison")
        await orders.create()
        await poison.create()
        await orders.put("order")

        def poison_queue(_: QueueMessage) -> Queue:
            return poison

        slow = cast(StorageAccount, SlowAccount(account, clock))
        with open_host_identities(tmp_path, new_id) as claim:
            processor = MessageProcessor(run=run, poison_queue=poison_queue)
            async with listening(slow, "orders", processor, options, clock=clock, identity=claim()):
                await clock.sleep(300)
        assert (len(attempts), await take(poison), await take(orders)) == (2, [], [])
