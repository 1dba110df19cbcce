"""Table of the causes in docs/why.md, made from the texts of the program: python -m release.why_reference"""

from __future__ import annotations

from pathlib import Path

from emulator.diagnosis.texts import TEXTS

FILE = Path(__file__).parents[1] / "docs" / "why.md"
_BEGIN, _END = "<!-- causes -->\n", "<!-- end of causes -->"


def with_causes(document: str) -> str:
    """Return the document with the current table of causes."""
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    rows = [
        f"| `{cause.value}` | {text.severity.name.lower()} | {text.meaning} |"
        for cause, text in sorted(TEXTS.items(), key=lambda item: item[1].severity)
    ]
    table = "\n".join(["| Cause | Severity | Meaning |", "|---|---|---|", *rows])
    return f"{before}{_BEGIN}\n{table}\n\n{_END}{after}"


if __name__ == "__main__":
    FILE.write_text(with_causes(FILE.read_text(encoding="utf-8")), encoding="utf-8")
