"""Result of a replay as JSON members: for `azemu history replay`, and for the dashboard, which runs it in a process."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from emulator import bound_json as json
from emulator.errors import EmulatorError
from emulator.exit_codes import OK
from emulator.histories.reading import Recorded
from emulator.histories.replaying import Divergence, compare


def replay_report(app: Path, recorded: Recorded, *, instance_id: str | None = None) -> dict[str, Any]:
    """Replay histories with the app in a folder. Raises NotReplayable and UnreadableHistory.

    Members: `episodes`: the number of those that agree; `divergences`: the first one of each history that differs.
    What the app prints goes to the standard error.
    """
    with redirect_stdout(sys.stderr):
        results = list(compare(app, recorded, instance_id=instance_id, settings={}))
    return {
        "episodes": sum(result is None for result in results),
        "divergences": [_members(result) for result in results if result is not None],
    }


def _members(divergence: Divergence) -> dict[str, Any]:
    return {
        "instanceId": divergence.instance_id,
        "orchestrator": divergence.orchestrator,
        "episode": divergence.episode,
        "eventNumber": divergence.event_number,
        "expected": divergence.expected,
        "found": divergence.found,
        "file": divergence.place.file if divergence.place else None,
        "line": divergence.place.line if divergence.place else None,
        "text": str(divergence),
    }


def main(app: str, file: str) -> int:
    """Print the members of a replay as JSON, or `{"error": …}`. For the dashboard."""
    try:
        members = replay_report(Path(app), Path(file))
    except EmulatorError as error:
        members = {"error": str(error)}
    sys.stdout.write(json.dumps(members) + "\n")
    return OK
