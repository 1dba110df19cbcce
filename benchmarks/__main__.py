"""All benchmarks, one after the other: python -m benchmarks [NAME ...]. The figures are kept in RESULTS.md."""

from __future__ import annotations

import subprocess
import sys

# All modules of this package that measure time or memory. `code_metrics` counts lines, for `make lint`.
NAMES = (
    "startup",
    "orchestrations",
    "testing",
    "storage",
    "builtin",
    "streaming",
    "handover",
    "kills",
    "queues",
    "idle",
    "payloads",
    "events",
    "parsers",
    "dashboard",
    "why",
)

for name in sys.argv[1:] or NAMES:
    if name not in NAMES:
        sys.exit(f"unknown benchmark '{name}'. Use one of: {', '.join(NAMES)}.")
    print(f"\n## python -m benchmarks.{name}\n", flush=True)
    # Each in its own process: the memory and the imports of one must not change the figures of the next.
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
