"""Beginning of the apps of these tests, and access to the queues of a running host."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from emulator.storage.builtin import BuiltinAccount
from emulator.storage.port import NotFound
from tests.running_apps import RunningApp

# `note` writes what a function has seen into a file of the app's folder, which `notes` reads.
QUEUE_APP = """
import asyncio, json, logging, pathlib, time, typing
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
STORAGE = "AzureWebJobsStorage"


def note(*facts):
    with pathlib.Path(__file__).with_name("notes.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\\n")
"""


def encoded(text: str | bytes) -> str:
    """Return the text of a message as clients with base64 encoding store it."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def decoded(stored: str) -> str:
    return base64.b64decode(stored).decode()


class Queues:
    """The queues of a running host's built-in store."""

    def __init__(self, running: RunningApp, connection: str = "AzureWebJobsStorage") -> None:
        account = running.app.accounts(connection)
        assert isinstance(account, BuiltinAccount)
        self._account = account

    async def create(self, *names: str) -> None:
        for name in names:
            await self._account.queue(name).create()

    async def put(self, name: str, *stored: str) -> None:
        """Put messages with these texts, as stored; create the queue if it is missing."""
        queue = self._account.queue(name)
        await queue.create()
        for text in stored:
            await queue.put(text, lives_for=timedelta(days=7))

    async def left(self, name: str) -> list[str]:
        """Return the stored texts of all messages, hidden ones included; none if there is no such queue."""
        try:
            return [message.body for message in await self._account.queue(name).list_messages()]
        except NotFound:
            return []

    async def names(self) -> list[str]:
        return [name async for name in self._account.queues()]


def notes(folder: Path) -> Sequence[Any]:
    """Return what functions have noted."""
    path = folder / "notes.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
