"""Entry point of `python -m emulator`, the same as the command `azemu`."""

from __future__ import annotations

import sys

from emulator.cli.entry import main

sys.exit(main())
