"""Hosts for the durable tests: a copy of an app on the built-in store."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from emulator.app import open_app
from emulator.config.start import StartOptions

OPTION = "AzureFunctionsJobHost__extensions__durableTask__"
PROFILE = "AZEMU_DURABLE_HTTP_PROFILE"


@dataclass(frozen=True)
class RunningApp:
    """`url`: without a slash at the end. `session`: a client that is closed with the host."""

    url: str
    session: aiohttp.ClientSession

    @property
    def webhook(self) -> str:
        return f"{self.url}/runtime/webhooks/durabletask"

    async def client_binding(self) -> dict[str, object]:
        """What Python gets for a durableClient input; only in the conformance app."""
        async with self.session.get(f"{self.url}/api/binding") as answer:
            found: dict[str, object] = json.loads(await answer.text())
            return found


@asynccontextmanager
async def running(
    app: Path,
    workplace: Path,
    *,
    settings: Mapping[str, str] | None = None,
    storage: str = "builtin:memory",
    enable_auth: bool = False,
) -> AsyncIterator[RunningApp]:
    """Run a copy of `app`: hosts keep their keys in the app's folder."""
    folder = workplace / "app"
    shutil.copytree(app, folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    options = StartOptions(app=folder, port=0, storage=storage, settings=settings or {}, enable_auth=enable_auth)
    async with open_app(options) as host, aiohttp.ClientSession() as session:
        yield RunningApp(host.url, session)
