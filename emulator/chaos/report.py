"""Report of a run with chaos: the faults, the rules of the task hub that are broken, the activities that ran twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.chaos import violations as broken_rules
from emulator.chaos.activity_runs import RepeatedActivity
from emulator.chaos.plan import CRASHES, Injected
from emulator.chaos.violations import Violation
from emulator.errors import EmulatorError


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosReport:
    """What has happened under the faults of a seed. `str(report)` is a text of several lines.

    `faults`: in order. `violations`: rules of Durable Functions that do not hold, by instance. `repeated`: activities
    that ran more than once, which is no mistake of the host: the app must be able to bear it.
    """

    seed: int
    faults: Sequence[Injected]
    violations: Sequence[Violation]
    repeated: Sequence[RepeatedActivity]

    def __str__(self) -> str:
        crashes = sum(fault.fault in CRASHES for fault in self.faults)
        lines = [f"Chaos with seed {self.seed}: {_counted(len(self.faults), 'fault')}, {_counted(crashes, 'crash')}."]
        lines += [f"  {number}. {fault}" for number, fault in enumerate(self.faults, start=1)]
        lines.append(broken_rules.report(self.violations))
        if self.repeated:
            lines.append("Activities that ran more than once, as they may on Azure:")
            lines += [f"  {repeated}" for repeated in self.repeated]
        return "\n".join(lines)


class RulesBroken(EmulatorError):
    """The task hub does not follow the rules after a run with chaos. `report`: the whole report."""

    def __init__(self, report: ChaosReport) -> None:
        super().__init__(
            f"{report}\nThis is a mistake of azemu, unless the app or the test has changed the storage of the task hub "
            "itself. Please report it with the seed."
        )
        self.report = report


def _counted(number: int, word: str) -> str:
    plural = "es" if word.endswith("h") else "s"
    return f"{number} {word}{'' if number == 1 else plural}"
