"""Explanation of one instance: a finding with its texts, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.diagnosis import texts
from emulator.diagnosis.facts import HubFacts, InstanceFacts
from emulator.diagnosis.finding import Cause, Finding, Severity
from emulator.instant import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an instance does not progress.

    `status`: its runtime status, None if it does not exist. `sentence`: the cause, without the id. `facts`, `advice`:
    lines. `causes`: the causes at the ends of the chain, of which there are several for a `task_all`.
    """

    instance_id: str
    name: str
    status: str | None
    severity: Severity
    sentence: str
    facts: Sequence[str]
    advice: Sequence[str]
    finding: Finding

    @property
    def causes(self) -> Sequence[Cause]:
        """The causes at the ends of the chain: of the deepest sub-orchestration, of each task of a `task_all`."""
        return [leaf.cause for leaf in self.leaves]

    @property
    def leaves(self) -> Sequence[Finding]:
        """The findings at the ends of the chain."""
        return _leaves(self.finding)

    @property
    def summary(self) -> str:
        """The cause as a sentence about the instance."""
        return f"It {self.sentence}."

    def json(self) -> Mapping[str, Any]:
        """Return the members of the JSON object.

        `causes` has the findings at the ends of the chain: with `file` and `line` of the code that waits, `until` for
        waits that end at a known time, and the name of the `event` that is missing.
        """
        return {
            "instanceId": self.instance_id,
            "name": self.name or None,
            "status": self.status,
            "severity": self.severity.name.lower(),
            "cause": self.finding.cause.value,
            "summary": self.summary,
            "facts": list(self.facts),
            "advice": list(self.advice),
            "causes": [_cause_json(leaf) for leaf in self.leaves],
        }


def explanation_of(facts: InstanceFacts, finding: Finding, hub: HubFacts | None) -> Explanation:
    """Put the texts of a finding together. `hub`: to say which queues were not read completely."""
    status = facts.status.runtime_status if facts.status else None
    unread: list[str] = []
    if hub is not None and any(leaf.cause in _ABOUT_QUEUES for leaf in _leaves(finding)):
        unread = [
            texts.NOTES["more-messages"].format(queue=queue.name, shown=len(queue.messages), count=queue.count)
            for queue in (hub.control_queue(facts.instance_id), hub.work_items)
            if not queue.is_complete
        ]
    return Explanation(
        instance_id=facts.instance_id,
        name=facts.name,
        status=None if facts.status is None else status.wire_name if status is not None else "Unknown",
        severity=texts.severity_of(finding),
        sentence=texts.sentence_of(finding),
        facts=[*texts.facts_of(finding), *unread],
        advice=texts.advice_of(finding),
        finding=finding,
    )


# Causes that say what is in a queue, or what is not.
_ABOUT_QUEUES = frozenset({Cause.HIDDEN, Cause.QUEUED, Cause.ACTIVITY_QUEUED, Cause.ACTIVITY_SLOTS, Cause.OTHER_HOST})


def _leaves(finding: Finding) -> Sequence[Finding]:
    if not finding.parts:
        return [finding]
    return [leaf for part in finding.parts for leaf in _leaves(part)]


def _cause_json(finding: Finding) -> Mapping[str, Any]:
    place, due = finding.place, finding.values.get("due")
    names_event = finding.cause in (Cause.EVENT_NOT_RAISED, Cause.EVENT_OTHER_NAME)
    return {
        "cause": finding.cause.value,
        "instanceId": finding.instance_id,
        "text": f"It {texts.sentence_of(finding)}.",
        "hint": " ".join(texts.advice_of(finding)) or None,
        "file": place.file if place else None,
        "line": place.line if place else None,
        "until": due.text if isinstance(due, Instant) else None,
        "event": finding.values.get("name") if names_event else None,
    }
