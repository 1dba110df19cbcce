"""Time and memory of tests in virtual time: python -m benchmarks.testing [COUNT]

Each test starts the human-interaction sample, lets 72 hours pass until the escalation and 24 more until the document
expires, and stops the sample. Prints a Markdown table for RESULTS.md, with the memory of the process after each part.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path

from emulator.testing import start_sync

SAMPLE = Path(__file__).parents[1] / "samples" / "human-interaction"
DOCUMENT = {"title": "Budget", "approver": "ada", "manager": "grace"}


def one_test() -> tuple[float, float]:
    """Run one test. Return the seconds of start and stop, and of the test between them."""
    began = time.perf_counter()
    with start_sync(SAMPLE) as app:
        started = time.perf_counter()
        instance = app.client.start_new("approve_document", client_input=DOCUMENT)
        app.advance(hours=72)
        assert app.client.get_status(instance).custom_status == "waiting for grace"
        assert app.wait(instance).output["result"] == "expired"
        ended = time.perf_counter()
    return time.perf_counter() - began - (ended - started), ended - started


def resident_megabytes() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return float("nan")  # Other systems have no /proc.
    return pages * 4096 / 1e6


def main(count: int) -> None:
    one_test()
    began, worked = time.perf_counter(), time.process_time()
    print("| number of tests | start and stop, ms each | the test itself, ms each | memory, MB |\n|---|---|---|---|")
    batch = max(count // 5, 1)
    for done in range(batch, count + 1, batch):
        around, inside = map(sum, zip(*(one_test() for _ in range(batch)), strict=True))
        gc.collect()
        print(f"| {done} | {around / batch * 1e3:.1f} | {inside / batch * 1e3:.1f} | {resident_megabytes():.0f} |")
    took, worked = time.perf_counter() - began, time.process_time() - worked
    print(f"\n{count} tests: {took:.1f} s, {worked:.1f} s of them processor time")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 500)
