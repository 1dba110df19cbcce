"""JSON as Newtonsoft.Json writes it: no white space, non-ASCII characters as they are but for a few."""

from __future__ import annotations

import json
import re

# Newtonsoft escapes the first three inside strings; the others cannot stand in the XML that carries a message.
_ESCAPED = re.compile("[\u0085\u2028\u2029\ufffe\uffff\ud800-\udfff]")


def json_text(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if text.isascii():
        return text
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
