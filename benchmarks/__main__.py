"""All measurements, one after the other: python -m benchmarks [NAME …]. Figures are kept in RESULTS.md."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("startup", "orchestrations", "testing", "storage", "builtin", "streaming", "handover")

for name in sys.argv[1:] or NAMES:
    print(f"\n## python -m benchmarks.{name}\n", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
