"""Report of a run with chaos: the faults, the rules of the task hub that are broken, the activities that ran twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emulator.chaos import violations as broken_rules
from emulator.chaos.activity_runs import RepeatedActivity
from emulator.chaos.plan import Injected
from emulator.chaos.violations import Violation
from emulator.errors import EmulatorError

MISTAKE: Final = (
    "A broken rule is a mistake of azemu, unless the app or a test has changed the storage of the task hub itself. "
    "Please report it with the seed."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosReport:
    """What has happened under the faults of a seed. `str(report)` is a text of several lines.

    `faults`: in order. `violations`: rules of Durable Functions that do not hold, by instance. `repeated`: activities
    that ran more than once, which is not a mistake of the host: the app must tolerate it.
    """

    seed: int
    faults: Sequence[Injected]
    violations: Sequence[Violation]
    repeated: Sequence[RepeatedActivity]

    def __str__(self) -> str:
        rules = broken_rules.report(self.violations)
        return report_text(self.seed, [str(fault) for fault in self.faults], rules, self.repeated)


def report_text(seed: int, faults: Sequence[str], rules: str, repeated: Sequence[RepeatedActivity]) -> str:
    """Return a report for users. `faults`: their texts. `rules`: what is known about the rules of the task hub."""
    lines = [f"Chaos with seed {seed}: {len(faults)} {'fault' if len(faults) == 1 else 'faults'}."]
    lines += [f"  {number}. {fault}" for number, fault in enumerate(faults, start=1)]
    lines.append(rules)
    if repeated:
        lines.append("Activities that ran more than once, as they may on Azure:")
        lines += [f"  {each}" for each in repeated]
    return "\n".join(lines)


class RulesBroken(EmulatorError):
    """The task hub does not follow the rules after a run with chaos. `report`: the whole report."""

    def __init__(self, report: ChaosReport) -> None:
        super().__init__(f"{report}\n{MISTAKE}")
        self.report = report
