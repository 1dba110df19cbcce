"""Expressions in the `filter` of a table input: quoting and checks, so that a value cannot change the query.

Source: Extensions.Tables, TableFilterFormatter; docs/protocol/functions-host.md 8.5.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from emulator.dotnet.format_strings import format_date
from emulator.host.expressions import BindingData, Expression, ExpressionError, Template, is_built_in

# The texts that .NET parses as a bool, an integer or a double, without group separators and infinities.
_PLAIN_VALUE: Final = re.compile(r"\s*(?:true|false|[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)\s*", re.IGNORECASE)


def render_filter(template: Template, data: BindingData) -> str:
    """Return the filter for one invocation.

    In a value within quotes (`'{name}'`) quotes are doubled. A value without them must be a number, true or false. A
    filter that is one expression is used as it is. Raises ExpressionError for other values, and for names with dots.
    """
    match template.parts:
        case (Expression() as whole,):
            return _text(whole, data)
    quoted = _quoted_names(template)
    rendered = []
    for part in template.parts:
        if isinstance(part, str):
            rendered.append(part)
            continue
        text = _text(part, data)
        if part.path[0].lower() in quoted:
            text = text.replace("'", "''")
        elif not is_built_in(part.path[0]) and not _PLAIN_VALUE.fullmatch(text):
            raise ExpressionError(
                f"An invalid parameter value was specified for filter parameter '{part.path[0]}'. Without quotes, it "
                f"must be a number, true or false. For a text write '{{{part.path[0]}}}', with the quotes."
            )
        rendered.append(text)
    return "".join(rendered)


def _quoted_names(template: Template) -> frozenset[str]:
    """Return the names, in lower case, that stand between quotes wherever they occur."""
    # One occurrence without quotes decides for all of a name, as in the extension.
    quoted: set[str] = set()
    unquoted: set[str] = set()
    parts = ("", *template.parts, "")
    for before, part, after in zip(parts, parts[1:], parts[2:], strict=False):
        if isinstance(part, Expression):
            is_quoted = isinstance(before, str) and before.endswith("'") and isinstance(after, str) and after[:1] == "'"
            (quoted if is_quoted else unquoted).add(part.path[0].lower())
    return frozenset(quoted - unquoted)


def _text(expression: Expression, data: BindingData) -> str:
    if len(expression.path) > 1 and not is_built_in(expression.path[0]):
        # The extension resolves filters from values that are texts already, so a dotted name fails in every run.
        raise ExpressionError(
            f"Error while accessing '{expression.path[1]}': property doesn't exist. A filter cannot contain a name "
            f"with a dot ('{'.'.join(expression.path)}'); members of the query string, the route and a JSON body have "
            f"simple names, such as '{expression.path[-1]}'."
        )
    value = data.named(expression.path[0])
    if isinstance(value, datetime):
        return format_date(value.astimezone(UTC), "yyyy-MM-ddTHH:mm:ss.fffffffZ")
    return data.text(expression)
