"""A process that runs an app on a built-in store's file and starts instances until it is killed:

    python -m tests.storage.builtin.host FOLDER FILE DAY

Prints the id of each instance once its start is acknowledged. Its clock is DAY days later than that of the first such
process, so that leases and hidden messages of killed processes have expired.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from emulator.testing import start_sync

FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)

CHAIN = """
@app.orchestration_trigger(context_name="context")
def chain(context):
    number = context.get_input()
    first = yield context.call_activity("double", number)
    yield context.create_timer(context.current_utc_datetime + timedelta(minutes=10))
    both = yield context.task_all([context.call_activity("double", first), context.call_activity("double", number)])
    return sum(both)


@app.activity_trigger(input_name="number")
def double(number: int) -> int:
    return 2 * number
"""


def main(folder: Path, file: Path, day: int) -> None:
    with start_sync(folder, storage=file, now=FIRST_DAY + timedelta(days=day), check_determinism=False) as app:
        for number in count():
            instance = app.client.start_new("chain", instance_id=f"{day}-{number}", client_input=number)
            print(instance, flush=True)
            app.advance(minutes=3)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
