"""Violations: what the history checker finds, and the text that shows it to users."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Rule(enum.Enum):
    """A rule that every task hub follows. The values are the texts of reports."""

    READABLE = "all rows, blobs and messages can be read"
    ROW_NUMBERS = "the events of an execution are numbered without a gap, and its sentinel is complete"
    ONE_START = "an execution begins once"
    ONE_END = "an execution ends at most once, and nothing follows"
    RESULT_WITHOUT_ACTION = "a result follows the action that it belongs to"
    ONE_RESULT = "an action has at most one result"
    STATUS_ROW = "the status row agrees with the history"
    PARENT_AND_CHILD = "a sub-orchestration and its parent agree"
    ENTITY_STATE = "an entity's state is that of its operations"
    ENTITY_ORDER = "operations are delivered to an entity once, in the order of their sender"
    ORPHAN_MESSAGE = "no message is left for an instance that has ended or does not exist"
    LOST_MESSAGE = "whatever a running instance waits for is on its way"


DOTNET_REPETITIONS = frozenset({Rule.ONE_RESULT, Rule.ENTITY_ORDER})
"""Rules that a hub of killed .NET hosts may break: an episode that is repeated after a kill sends its messages again,
and both results of an activity are recorded (docs/protocol/task-hub-storage.md 12.8)."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule. `rows`, `message`: keys of History rows, and the id of a queue message, that show it.

    `instance_id`: empty if a message cannot be read, so that it is not known for which instance it is.
    """

    instance_id: str
    rule: Rule
    detail: str
    rows: Sequence[str] = ()
    message: str = ""

    def __str__(self) -> str:
        instance = f'Instance "{self.instance_id}": ' if self.instance_id else ""
        rows = f" ({'row' if len(self.rows) == 1 else 'rows'} {', '.join(self.rows)})" if self.rows else ""
        message = f" (message {self.message})" if self.message else ""
        return f"{instance}{self.detail}{rows}{message}"


def report(violations: Sequence[Violation]) -> str:
    """Return readable lines: each broken rule, and below it the instances that break it."""
    if not violations:
        return "All rules of the task hub hold."
    lines = []
    for rule in Rule:
        broken = [violation for violation in violations if violation.rule is rule]
        if broken:
            lines.append(f"Broken rule: {rule.value}.")
            lines += [f"  {violation}" for violation in broken]
    return "\n".join(lines)
