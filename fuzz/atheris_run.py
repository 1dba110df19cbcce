"""Process that fuzzes one parser. Arguments: its name, then options of libFuzzer."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["emulator"]):
    from fuzz.targets import LIMIT_SECONDS, TARGETS

# See fuzz.__main__.SLOW_SECONDS.
_SLOWER = 5


def main() -> None:
    name, *options = sys.argv[1:]
    target = TARGETS[name]

    def check(data: bytes) -> None:
        target.check(data, limit_seconds=_SLOWER * LIMIT_SECONDS)

    atheris.Setup([sys.argv[0], *options], check)
    atheris.Fuzz()


main()
