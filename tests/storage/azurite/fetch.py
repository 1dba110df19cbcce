"""Install Azurite before the tests: the first installation takes longer than a test may."""

from __future__ import annotations

import asyncio
from pathlib import Path

from emulator.clock import SystemClock
from emulator.storage.azurite.search import NoAzurite, find_program


def main() -> None:
    try:
        asyncio.run(find_program(Path.cwd(), clock=SystemClock(), print_line=print))
    except NoAzurite as error:
        print(f"The tests that need Azurite will fail: {error}")


if __name__ == "__main__":
    main()
