"""Rules about members of the durable contexts and client that the SDK does not have, or not in the listed release."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Collection, Iterator
from functools import cache
from typing import Final, Literal

from emulator.check.azure_offers import SDK_MEMBERS
from emulator.check.findings import Finding
from emulator.check.requirements import requirements_of
from emulator.check.resolving import Scope
from emulator.check.sources import REQUIREMENTS
from emulator.check.syntax import own_nodes

PACKAGE: Final = "azure-functions-durable"
_CLASSES: Final = {
    "orchestrator": "DurableOrchestrationContext",
    "entity": "DurableEntityContext",
    "client": "DurableOrchestrationClient",
}
_SHOWN: Final = {"orchestrator": "orchestration context", "entity": "entity context", "client": "durable client"}
_CLAUSE: Final = re.compile(r"(===?|~=|<=|<|>=|>|!=)\s*([0-9][0-9.]*)(\*)?")
_LIKENESS: Final = 0.6

Owner = Literal["orchestrator", "entity", "client"]
Version = tuple[int, ...]


def member_findings(scope: Scope, variables: Collection[str], owner: Owner) -> Iterator[Finding]:
    """Yield findings about members of the variables in a function. `owner`: what the variables are."""
    nodes = [
        node
        for node in own_nodes(scope.function)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in variables
    ]
    # An app may add members of its own.
    own = {node.attr for node in nodes if isinstance(node.ctx, ast.Store)}
    # A variable that is assigned in the function may be another object by then.
    assigned = {
        node.id for node in own_nodes(scope.function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    requirements = [each.text for each in requirements_of(scope.sources) if each.name == PACKAGE]
    for node in nodes:
        name, variable = node.attr, ast.unparse(node.value)
        if name in own or name.startswith("_") or variable in assigned:
            continue
        since = SDK_MEMBERS[owner].get(name)
        if since is None and name not in _installed_members(owner):
            near = difflib.get_close_matches(name, SDK_MEMBERS[owner], n=1, cutoff=_LIKENESS)
            advice = f" Did you mean {variable}.{near[0]}?" if near else ""
            text = f"{variable}.{name} does not exist: the {_SHOWN[owner]} of {PACKAGE} has no member {name}.{advice}"
            yield scope.source.finding("AZ311", node, text)
        elif since is not None and not all(_reaches(requirement, _version(since)) for requirement in requirements):
            text = (
                f"{variable}.{name} needs {PACKAGE} {since}, and {REQUIREMENTS} allows only older releases. Raise the "
                "version there."
            )
            yield scope.source.finding("AZ312", node, text)


@cache
def _installed_members(owner: Owner) -> frozenset[str]:
    """Return the members that the installed SDK has, which may be newer than the table. Empty without it."""
    try:
        import azure.durable_functions as durable
    # The check without import is for machines without the packages, and a package may fail in any way.
    except Exception:
        return frozenset()
    return frozenset(dir(getattr(durable, _CLASSES[owner], None)))


def _reaches(requirement: str, since: Version) -> bool:
    """Return whether a line of requirements.txt allows a release that is not older than `since`."""
    for operator, text, is_prefix in _CLAUSE.findall(requirement.partition(";")[0].partition("#")[0]):
        version = _version(text.strip("."))
        if operator == "~=" or is_prefix:
            # ~=1.2.9 and ==1.2.*: all releases of 1.2.
            prefix = version if is_prefix else version[:-1]
            if operator in ("~=", "==") and since[: len(prefix)] > prefix:
                return False
        elif (operator in ("==", "===", "<=") and since > version) or (operator == "<" and since >= version):
            return False
    return True


def _version(text: str) -> Version:
    return tuple(int(part) for part in text.split(".") if part)
