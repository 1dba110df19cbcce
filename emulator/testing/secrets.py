"""The app's keys for the length of a test: made anew, written nowhere."""

from __future__ import annotations


class MemorySecrets:
    """See host.keys.SecretsRepository."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    async def read(self, name: str) -> str | None:
        return self._texts.get(name)

    async def write(self, name: str, text: str) -> None:
        self._texts[name] = text

    async def keep_aside(self, name: str) -> None:
        self._texts.pop(name, None)
