"""Helpers of the storage tests: a bench is a storage account with its clock."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import pytest

from emulator.clock import Clock
from emulator.storage.port import (
    ANY_ETAG,
    BlobContainer,
    Operation,
    Queue,
    QueueMessage,
    Row,
    StorageAccount,
    Table,
    TableOperation,
    Value,
)

T = TypeVar("T")

LONG_ON_AZURITE = pytest.mark.parametrize(
    "bench",
    [
        "memory",
        "file",
        pytest.param("azurite", marks=[pytest.mark.azurite, pytest.mark.soak]),
        pytest.param("azurite-sdk", marks=[pytest.mark.azurite, pytest.mark.soak]),
    ],
    indirect=True,
)
"""Mark of tests that wait many seconds of real time on Azurite: there they run in `make soak` only."""

_numbers = itertools.count(1)


def unique(word: str) -> str:
    """A name that no other test, in this or a parallel process, uses. Fit for queues, tables and containers."""
    return f"{word}{os.getpid():x}x{next(_numbers)}"


@dataclass
class Bench:
    """`backend`: "azurite" or "builtin". `reopen` gives another account object on the same storage."""

    backend: str
    account: StorageAccount
    clock: Clock
    reopen: Callable[[], AbstractAsyncContextManager[StorageAccount]] = field(repr=False)

    async def new_queue(self) -> Queue:
        queue = self.account.queue(unique("queue"))
        await queue.create()
        return queue

    async def new_table(self) -> Table:
        table = self.account.table(unique("Table"))
        await table.create()
        return table

    async def new_container(self) -> BlobContainer:
        container = self.account.container(unique("container"))
        await container.create()
        return container

    async def passes(self, seconds: float) -> None:
        """Let the clock's time pass: real on a server, virtual where the store takes the clock."""
        await self.clock.sleep(seconds)


def azurite_differs(bench: Bench, how: str) -> None:
    """Skip the rest of a test on Azurite, which differs here from Azure and the built-in store."""
    if bench.backend.startswith("azurite"):
        pytest.skip(f"Azurite {how}")


async def take(queue: Queue, *, hide_for: float = 30, limit: int = 32) -> list[QueueMessage]:
    return await queue.get(limit=limit, hide_for=timedelta(seconds=hide_for))


async def take_all(queue: Queue, *, hide_for: float = 30, limit: int = 32) -> list[QueueMessage]:
    """Dequeue all visible messages, with as many calls as needed."""
    messages: list[QueueMessage] = []
    while batch := await take(queue, hide_for=hide_for, limit=limit):
        messages += batch
    return messages


async def bodies(queue: Queue) -> list[str]:
    """Dequeue all visible messages and return their texts, sorted because no order is promised."""
    return sorted(message.body for message in await take_all(queue))


def row(partition_key: str, row_key: str, **properties: Value) -> Row:
    return Row(partition_key, row_key, properties)


def insert(row: Row) -> TableOperation:
    return TableOperation(Operation.INSERT, row)


def upsert(row: Row) -> TableOperation:
    return TableOperation(Operation.INSERT_OR_REPLACE, row)


def merge(row: Row, if_match: str = ANY_ETAG) -> TableOperation:
    return TableOperation(Operation.MERGE, row, if_match)


def replace(row: Row, if_match: str = ANY_ETAG) -> TableOperation:
    return TableOperation(Operation.REPLACE, row, if_match)


def delete(row: Row, if_match: str = ANY_ETAG) -> TableOperation:
    return TableOperation(Operation.DELETE, row, if_match)


async def fill(table: Table, rows: Sequence[Row]) -> None:
    """Insert rows one by one, so that they may lie in many partitions."""
    for row in rows:
        await table.submit([insert(row)])


async def keys(rows: AsyncIterator[Row]) -> list[tuple[str, str]]:
    return [(row.partition_key, row.row_key) async for row in rows]


async def collected(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]


async def all_of(*work: Awaitable[T]) -> list[T | BaseException]:
    """Run concurrently. Errors are among the results."""
    return await asyncio.gather(*work, return_exceptions=True)
