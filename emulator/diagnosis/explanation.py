"""Explanation of one instance: a finding with its texts, as JSON and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emulator.diagnosis import texts
from emulator.diagnosis.facts import HubFacts, InstanceFacts
from emulator.diagnosis.finding import Cause, Finding, Severity
from emulator.worker.yields import Place


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

    def lines(self) -> Sequence[str]:
        """Return the explanation for a terminal: the cause, then facts, then what to do."""
        kind = f" ({self.name})" if self.name else ""
        return [
            f'"{self.instance_id}"{kind} {self.sentence}.',
            *(f"  {fact}" for fact in self.facts),
            *(f"  What to do: {advice}" for advice in self.advice),
        ]

    def json(self) -> Mapping[str, Any]:
        """Return the members of the JSON object."""
        return {
            "instanceId": self.instance_id,
            "name": self.name or None,
            "status": self.status,
            "severity": self.severity.name.lower(),
            "sentence": self.sentence,
            "facts": list(self.facts),
            "advice": list(self.advice),
            **_finding_json(self.finding),
        }


def explanation_of(facts: InstanceFacts, finding: Finding, hub: HubFacts | None) -> Explanation:
    """Put the texts of a finding together. `hub`: to say which queues were not read completely."""
    status = facts.status.runtime_status if facts.status else None
    unread = [] if hub is None else _unread(finding, facts, hub)
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


def _unread(finding: Finding, facts: InstanceFacts, hub: HubFacts) -> Sequence[str]:
    if not any(leaf.cause in _ABOUT_QUEUES for leaf in _leaves(finding)):
        return []
    queues = (hub.control_queue(facts.instance_id), hub.work_items)
    return [
        texts.NOTES["more-messages"].format(queue=queue.name, shown=len(queue.messages), count=queue.count)
        for queue in queues
        if not queue.is_complete
    ]


def _leaves(finding: Finding) -> Sequence[Finding]:
    if not finding.parts:
        return [finding]
    return [leaf for part in finding.parts for leaf in _leaves(part)]


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "cause": finding.cause.value,
        "place": _place_json(finding.place),
        "parts": [
            {
                "instanceId": part.instance_id,
                "sentence": texts.sentence_of(part),
                **_finding_json(part),
            }
            for part in finding.parts
        ],
    }


def _place_json(place: Place | None) -> Mapping[str, Any] | None:
    return None if place is None else {"file": place.file, "line": place.line}
