"""Comparison of two executions of an orchestrator: which decisions differ, and how long the same ones took."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from difflib import SequenceMatcher

from emulator.dashboard.durable.timeline import Kind, Row, Timeline


class Change(enum.Enum):
    """How a step of the second execution relates to the first one."""

    SAME = "same"
    OUTCOME = "outcome"
    """The same task with another outcome or another number of attempts."""
    ONLY_LEFT = "onlyLeft"
    ONLY_RIGHT = "onlyRight"


@dataclass(frozen=True, slots=True)
class Step:
    """A pair of rows, of which one may be missing."""

    left: Row | None
    right: Row | None
    change: Change


def compare(left: Timeline, right: Timeline) -> Sequence[Step]:
    """Return the steps of both executions in order, matched by kind, name and target of their tasks."""
    # difflib's heuristic for popular elements would leave a fan-out of one activity unmatched.
    matcher = SequenceMatcher(
        None, [_identity(row) for row in left.rows], [_identity(row) for row in right.rows], autojunk=False
    )
    steps: list[Step] = []
    for tag, left_from, left_to, right_from, right_to in matcher.get_opcodes():
        if tag == "equal":
            for first, second in zip(left.rows[left_from:left_to], right.rows[right_from:right_to], strict=True):
                # Times are left out, because they differ in every execution.
                is_same = (first.last.outcome, len(first.attempts)) == (second.last.outcome, len(second.attempts))
                steps.append(Step(first, second, Change.SAME if is_same else Change.OUTCOME))
            continue
        steps += [Step(row, None, Change.ONLY_LEFT) for row in left.rows[left_from:left_to]]
        steps += [Step(None, row, Change.ONLY_RIGHT) for row in right.rows[right_from:right_to]]
    return steps


def duration_of(row: Row) -> timedelta | None:
    """Return the time from the first attempt to the end of the last one; None: it has not ended."""
    ended = row.last.ended_at
    return None if ended is None else ended - row.first.scheduled_at


def _identity(row: Row) -> tuple[str, ...]:
    # Ids of children are different in each execution, unless the orchestrator chooses them.
    return (row.kind.value, row.name, (row.target or "") if row.kind in (Kind.ENTITY, Kind.SIGNAL, Kind.LOCK) else "")
