"""Host and function keys of an app under test: new for every app, kept in memory only."""

from __future__ import annotations


class MemorySecrets:
    """Implements SecretsRepository of host/http/keys/key_store.py. Nothing is written into the app's folder."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    async def read(self, name: str) -> str | None:
        return self._texts.get(name)

    async def write(self, name: str, text: str, *, or_keep: bool) -> None:
        self._texts[name] = text

    async def back_up_unreadable(self, name: str) -> None:
        # Nothing in memory can be unreadable, so there is nothing to keep.
        self._texts.pop(name, None)
