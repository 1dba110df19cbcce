"""Process that sends telemetry with Microsoft's exporter: one JSON line in for each batch, one out with the outcome.

It is a process of its own, like the Functions host beside the Python worker: the exporter and the OpenTelemetry SDK are
not loaded where user code runs, which may use them in its own way, instrument their HTTP client, or fork.
"""

from __future__ import annotations

import os
import sys

from emulator import bound_json as json


def main() -> int:
    """Send batches until standard input ends. The first line has the options, and is answered, too."""
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    lines = iter(sys.stdin.buffer.readline, b"")
    try:
        options = json.loads(next(lines))
        # Here, because the packages that it imports may be missing or of other versions.
        from emulator.insights.azure_monitor import AzureMonitor

        service = AzureMonitor(options["connectionString"], options["resource"])
    except StopIteration:
        return 0
    # Whatever the packages raise: the host tells the user, and runs without them.
    except Exception as error:
        print(json.dumps({"problem": str(error) or type(error).__name__}), file=answers, flush=True)
        return 1
    print("{}", file=answers, flush=True)
    for line in lines:
        batch = json.loads(line)
        outcome = {"spans": service.send_spans(batch["spans"])}
        # A service that is away is not asked twice.
        outcome["lines"] = outcome["spans"] if outcome["spans"].get("again") else service.send_lines(batch["lines"])
        print(json.dumps(outcome), file=answers, flush=True)
    return 0
