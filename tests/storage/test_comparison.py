"""The built-in store and Azurite, given the same operations, return the same results.

Differences, which are not generated here, are listed for users in docs/compatibility.md ("The built-in store"):

* what Azurite accepts, but Azure and the built-in store refuse: rows over 1 MiB, more than 252 properties,
  table names that differ in case, pages of more than 1000 rows, lease ids that are not GUIDs, comparison of times
  beyond the millisecond (see `azurite_differs` in the other tests);
* what no service promises: the order of messages, ETags, receipts, times, which messages a smaller `get` finds;
* comparing a property with a value of another type;
* several things wrong with one request: a row that is twice in a transaction that fails for another reason, too, or
  a lease id together with another condition;
* a lease id in a write of a blob that is not there: Azurite takes it, the built-in store answers 412 as for a blob
  without a lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from emulator.clock import SystemClock
from emulator.config.connections import StorageConnection
from emulator.instant import Instant
from emulator.storage import rest
from emulator.storage.builtin import open_builtin
from emulator.storage.filters import Both, Compare, Condition, Either
from emulator.storage.paging import query_rows
from emulator.storage.port import (
    ANY_ETAG,
    ZERO,
    BlobContainer,
    BlobProperties,
    Int64,
    Operation,
    Queue,
    QueueMessage,
    Row,
    StorageAccount,
    StorageError,
    Table,
    TableOperation,
)
from tests.storage.bench import unique

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12) | st.sampled_from(
    ["", " ", "it's", "a", "A", "ä", "😀", "\uffe0", "\r\n", "<&>"]
)
keys = st.sampled_from(["", "a", "A", "b", "it's", "ä", "😀", "\uffe0", "sentinel", "0000000000000001"])
moments = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)).map(
    lambda moment: Instant.of(moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC))
)
# One type for each property: what a comparison across types means is left open.
TYPES: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "number": st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 2),
    "long": (st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2)).map(Int64),
    "real": st.floats(-1e9, 1e9) | st.sampled_from([0.0, 0.5, float("inf")]),
    "flag": st.booleans(),
    "time": moments,
    "guid": st.uuids(),
    "data": st.binary(max_size=8),
}
ORDERED = ["text", "number", "long", "real", "time"]
OPERATORS = ["eq", "ne", "gt", "ge", "lt", "le"]

properties = st.fixed_dictionaries({}, optional=TYPES)
comparisons = st.one_of(
    *(st.builds(Compare, st.just(name), st.sampled_from(OPERATORS), TYPES[name]) for name in ORDERED if name != "real"),
    st.builds(Compare, st.just("real"), st.sampled_from(OPERATORS), st.floats(-10, 10).map(lambda x: round(x, 3))),
    st.builds(Compare, st.just("flag"), st.sampled_from(["eq", "ne"]), st.booleans()),
    st.builds(Compare, st.sampled_from(["PartitionKey", "RowKey"]), st.sampled_from(OPERATORS), keys),
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    comparisons, lambda inner: st.builds(Both, inner, inner) | st.builds(Either, inner, inner), max_leaves=4
)
etags = st.sampled_from(["any", "current", "stale"])
lease_ids = st.sampled_from(["3f2504e0-4f89-41d3-9a0c-0305e82c3301", "0f8fad5b-d9cb-469f-a165-70867728950e"])
no_or_lease = st.none() | lease_ids
metadata = st.sampled_from([{}, {"k": "v"}, {"Kind": "two words", "empty": ""}])
content_types = st.sampled_from(["", "text/plain; charset=utf-8"])
blob_names = st.sampled_from(["a", "a/b", "a b", "A", "ä", "z"])


@dataclass
class Side:
    """One of the two stores, with the receipts and ETags that it returned."""

    queue: Queue
    table: Table
    container: BlobContainer
    messages: dict[str, QueueMessage] = field(default_factory=dict)
    old_messages: dict[str, QueueMessage] = field(default_factory=dict)
    etags: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    blob_etags: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    async def create(cls, account: StorageAccount, name: str) -> Side:
        side = cls(account.queue(f"q{name}"), account.table(f"T{name}"), account.container(f"c{name}"))
        await side.queue.create()
        await side.table.create()
        await side.container.create()
        return side

    # Queues: a message is identified by its text, which is unique.

    async def put(self, text: str, hidden: bool) -> object:
        self.messages[text] = await self.queue.put(text, visible_in=HOUR if hidden else ZERO)
        return None

    async def take(self) -> object:
        got = await self.queue.get(limit=32, hide_for=HOUR)
        self.old_messages |= {message.body: self.messages[message.body] for message in got}
        self.messages |= {message.body: message for message in got}
        return sorted((message.body, message.dequeue_count) for message in got)

    async def peek(self) -> object:
        return sorted((message.body, message.dequeue_count) for message in await self.queue.peek(limit=32))

    async def hide(self, text: str, stale: bool, for_long: bool, again: bool) -> object:
        message = (self.old_messages if stale else self.messages).get(text)
        if message is None:
            return "unknown"
        # Its text is what it is known by, so the new one is the old one.
        changed = await self.queue.hide(message, hide_for=HOUR if for_long else ZERO, body=text if again else None)
        self.old_messages[text], self.messages[text] = message, changed
        return (changed.body, changed.dequeue_count)

    async def remove(self, text: str, stale: bool) -> object:
        message = (self.old_messages if stale else self.messages).get(text)
        if message is None:
            return "unknown"
        await self.queue.delete(message)
        return None

    async def clear(self) -> object:
        self.old_messages.clear()
        await self.queue.clear()
        return None

    # Tables.

    def operation(self, kind: Operation, row: Row, etag: str) -> TableOperation:
        if kind not in (Operation.MERGE, Operation.REPLACE, Operation.DELETE):
            return TableOperation(kind, row)
        seen = self.etags.get((row.partition_key, row.row_key), [])
        index = {"current": -1, "stale": -2}.get(etag)
        return TableOperation(kind, row, seen[index] if index is not None and len(seen) >= -index else ANY_ETAG)

    async def submit(self, wishes: list[tuple[Operation, Row, str]]) -> object:
        operations = [self.operation(*wish) for wish in wishes]
        for operation, etag in zip(operations, await self.table.submit(operations), strict=True):
            if etag is not None:
                self.etags.setdefault((operation.row.partition_key, operation.row.row_key), []).append(etag)
        return None

    async def query(self, where: Condition | None, select: list[str]) -> object:
        return [seen(row) async for row in query_rows(self.table, where, select=select)]

    async def pages(self, where: Condition | None, limit: int) -> object:
        page = await self.table.page(where, limit=limit)
        rows = list(page.rows)
        while page.continuation is not None:
            page = await self.table.page(where, limit=limit, continuation=page.continuation)
            rows += page.rows
        return [seen(row) for row in rows]

    async def read(self, partition_key: str, row_key: str) -> object:
        return seen(await self.table.read(partition_key, row_key))

    # Blobs.

    async def write(
        self, name: str, content: bytes, new: bool, etag: str, lease_id: str | None, **described: Any
    ) -> object:
        known = self.blob_etags.get(name, [])
        index = {"current": -1, "stale": -2}.get(etag)
        if_match = known[index] if index is not None and len(known) >= -index else None
        written = await self.container.write(
            name, content, only_if_new=new, if_match=None if new else if_match, lease_id=lease_id, **described
        )
        self.blob_etags.setdefault(name, []).append(written.etag)
        return None

    async def overwrite(self, name: str, content: bytes, lease_id: str) -> object:
        await self.container.properties(name)
        return await self.write(name, content, new=False, etag="any", lease_id=lease_id)

    async def look(self, name: str) -> object:
        return (described(await self.container.properties(name)), await self.container.read(name))

    async def listed(self, prefix: str) -> object:
        return [described(blob) async for blob in self.container.list(prefix)]

    async def lease(self, name: str | None, act: str, lease_id: str, other: str) -> object:
        lease = self.container.lease(name)
        match act:
            case "acquire":
                await lease.acquire(lease_id, duration=MINUTE)
            case "renew":
                await lease.renew(lease_id)
            case "release":
                await lease.release(lease_id)
            case "change":
                await lease.change(lease_id, new_lease_id=other)
            case _:
                await lease.break_(after=ZERO)
        return None


def seen(row: Row) -> tuple[str, str, dict[str, object]]:
    return (row.partition_key, row.row_key, dict(row.properties))


def described(blob: BlobProperties) -> tuple[object, ...]:
    return (blob.name, blob.size, blob.content_type, dict(blob.metadata), blob.lease_state, blob.content_md5)


async def outcome(call: Awaitable[object]) -> object:
    try:
        return ("answer", await call)
    except StorageError as error:
        return ("refusal", type(error).__name__, error.status, error.code, error.failed_index)


class Comparison(RuleBasedStateMachine):
    """Each rule does the same to both stores and compares what they say."""

    accounts: tuple[StorageAccount, StorageAccount]
    runner: asyncio.Runner

    @initialize()
    def begin(self) -> None:
        name = unique("x")
        self.ours, self.azurite = (self.runner.run(Side.create(account, name)) for account in self.accounts)
        self.count = 0

    def both(self, act: Callable[[Side], Awaitable[object]]) -> None:
        ours, theirs = (self.runner.run(outcome(act(side))) for side in (self.ours, self.azurite))
        assert ours == theirs

    def text(self, number: int) -> str:
        return f"message {number}"

    @rule(hidden=st.booleans())
    def put(self, hidden: bool) -> None:
        if self.count < 30:
            self.count += 1
            self.both(lambda side: side.put(self.text(self.count), hidden))

    @rule()
    def take(self) -> None:
        self.both(lambda side: side.take())

    @rule()
    def peek(self) -> None:
        self.both(lambda side: side.peek())
        self.both(lambda side: side.queue.count())

    @rule(number=st.integers(1, 30), stale=st.booleans(), for_long=st.booleans(), again=st.booleans())
    def hide(self, number: int, stale: bool, for_long: bool, again: bool) -> None:
        self.both(lambda side: side.hide(self.text(number), stale, for_long, again))

    @rule()
    def clear(self) -> None:
        self.both(lambda side: side.clear())

    @rule(number=st.integers(1, 30), stale=st.booleans())
    def remove(self, number: int, stale: bool) -> None:
        self.both(lambda side: side.remove(self.text(number), stale))

    @rule(kind=st.sampled_from(Operation), partition=keys, key=keys, values=properties, etag=etags)
    def one_row(self, kind: Operation, partition: str, key: str, values: dict[str, Any], etag: str) -> None:
        self.both(lambda side: side.submit([(kind, Row(partition, key, values), etag)]))

    @rule(
        partition=keys,
        wishes=st.lists(
            st.tuples(st.sampled_from(Operation), keys, properties, etags), max_size=6, unique_by=lambda wish: wish[1]
        ),
    )
    def batch(self, partition: str, wishes: list[tuple[Operation, str, dict[str, Any], str]]) -> None:
        self.both(
            lambda side: side.submit([(kind, Row(partition, key, values), etag) for kind, key, values, etag in wishes])
        )

    @rule(partition=keys, key=keys)
    def read(self, partition: str, key: str) -> None:
        self.both(lambda side: side.read(partition, key))

    @rule(where=conditions, select=st.lists(st.sampled_from(sorted(TYPES)), max_size=2, unique=True))
    def query(self, where: Condition, select: list[str]) -> None:
        self.both(lambda side: side.query(where, select))

    @rule(where=st.none() | conditions, limit=st.integers(1, 5))
    def pages(self, where: Condition | None, limit: int) -> None:
        self.both(lambda side: side.pages(where, limit))

    @rule(
        name=blob_names,
        content=st.binary(max_size=20),
        new=st.booleans(),
        etag=etags,
        metadata=metadata,
        content_type=content_types,
    )
    def write(self, name: str, content: bytes, new: bool, etag: str, **described: Any) -> None:
        self.both(lambda side: side.write(name, content, new, etag, None, **described))

    @rule(name=blob_names, content=st.binary(max_size=20), lease_id=lease_ids)
    def write_with_lease(self, name: str, content: bytes, lease_id: str) -> None:
        self.both(lambda side: side.overwrite(name, content, lease_id))

    @rule(name=blob_names)
    def look(self, name: str) -> None:
        self.both(lambda side: side.look(name))

    @rule(prefix=st.sampled_from(["", "a", "a/", "x"]))
    def listed(self, prefix: str) -> None:
        self.both(lambda side: side.listed(prefix))

    @rule(name=blob_names, lease_id=no_or_lease)
    def delete_blob(self, name: str, lease_id: str | None) -> None:
        self.both(lambda side: side.container.delete(name, lease_id=lease_id))

    @rule(
        name=st.none() | blob_names,
        act=st.sampled_from(["acquire", "renew", "release", "change", "break"]),
        lease_id=lease_ids,
        other=lease_ids,
    )
    def lease(self, name: str | None, act: str, lease_id: str, other: str) -> None:
        self.both(lambda side: side.lease(name, act, lease_id, other))


@contextmanager
def both_accounts(connection: StorageConnection) -> Iterator[type[Comparison]]:
    clock = SystemClock()
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def enter() -> tuple[StorageAccount, StorageAccount]:
            ours = await stack.enter_async_context(open_builtin(None, clock))
            return ours, await stack.enter_async_context(rest.open_account(connection, clock))

        accounts = runner.run(enter())
        try:
            yield type("Bound", (Comparison,), {"accounts": accounts, "runner": runner})
        finally:
            runner.run(stack.aclose())


@pytest.mark.azurite
@pytest.mark.parametrize(
    "examples", [pytest.param(20, id="some"), pytest.param(1000, id="many", marks=pytest.mark.soak)]
)
def test_both_stores_give_the_same_results(azurite_connection: StorageConnection, examples: int) -> None:
    effort = settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        derandomize=examples == 20,
        suppress_health_check=list(HealthCheck),
    )
    with both_accounts(azurite_connection) as machine:
        run_state_machine_as_test(machine, settings=effort)
