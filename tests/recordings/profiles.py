"""Profile of extension 3.15.2: rewrites its recordings to what 3.19.0, the version azemu follows, would have written.

Source of the differences: docs/protocol/task-hub-storage.md chapter 12. What is not listed there is the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

# The second blank after `failed:`, and the one before the message in the details. The details are JSON inside JSON, so
# any number of backslashes may precede their quotes.
_FAILED = re.compile(r"(failed: ) (?=\w)")
_MESSAGE = re.compile(r'(Message\\*":\\*") (?=\w)')
_PARENT_MEMBER = re.compile(r'^  "parentInstanceId": .*,$', re.MULTILINE)


def current_text(text: str) -> str:
    """Rewrite the texts of failures in a file of a recording."""
    return _MESSAGE.sub(r"\1", _FAILED.sub(r"\1", text))


def current_context(text: str) -> str:
    """Add the member `sourceInstanceId` to the text that an orchestrator received."""
    return _PARENT_MEMBER.sub(lambda member: f'{member[0]}\n  "sourceInstanceId": null,', text)


def current_storage(storage: Mapping[str, Any]) -> dict[str, Any]:
    """Add the column `ParentInstanceId` to the status rows of a dump."""
    tables = dict(storage["tables"])
    for name in [name for name in tables if name.endswith("Instances")]:
        parents = _parents(tables[f"{name.removesuffix('Instances')}History"])
        tables[name] = [
            {**row, "ParentInstanceId": {"type": "Edm.String", "value": parents.get(row["PartitionKey"]["value"], "")}}
            for row in tables[name]
        ]
    return {**storage, "tables": tables}


def _parents(history: list[dict[str, Any]]) -> Mapping[str, str]:
    """Return the parent's instance id by the partition key of a sub-orchestration."""
    found: dict[str, str] = {}
    for row in history:
        parent = json.loads(row["ParentInstance"]["value"]) if "ParentInstance" in row else None
        if parent is not None:
            found[row["PartitionKey"]["value"]] = parent["OrchestrationInstance"]["InstanceId"]
    return found
