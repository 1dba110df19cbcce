"""Build the documentation site in site/, and check that its pages load nothing from elsewhere. Run by `make docs`.

MkDocs checks links and anchors itself (`strict` in mkdocs.yml).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
SITE: Final = ROOT / "site"

_FOREIGN: Final = re.compile(r"\s*(?:[a-z]+:)?//", re.IGNORECASE)
_IN_STYLES: Final = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


def main() -> None:
    # The theme would advertise another program.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    # Without --quiet, which would also hide warnings from `strict`.
    built = subprocess.run([sys.executable, "-m", "mkdocs", "build"], cwd=ROOT, env=environment, check=False)
    if built.returncode != 0:
        sys.exit(built.returncode)  # MkDocs has printed the reasons.
    foreign = [
        f"{file.relative_to(SITE)}: {address}"
        for file in sorted(SITE.rglob("*"))
        if file.suffix in (".html", ".css")
        for address in foreign_addresses(file.read_text(encoding="utf-8"), file.suffix)
    ]
    if foreign:
        sys.exit("The site must not load anything from elsewhere:\n" + "\n".join(foreign))
    print(f"The site is in {SITE}: open index.html.")


def foreign_addresses(text: str, suffix: str) -> list[str]:
    """Return the addresses on other hosts from which a file of the site (.html, .css) loads something.

    Links that a reader can follow are none of them.
    """
    if suffix == ".css":
        return _of_styles(text)
    parser = _LoadedAddresses()
    parser.feed(text)
    return parser.found


class _LoadedAddresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [address for address in _loaded(tag, attrs) if _FOREIGN.match(address)]
        # The theme fetches the library for diagrams from a CDN when a page has one.
        self.found += [f"<{tag} class=mermaid>" for name, value in attrs if name == "class" and value == "mermaid"]

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "style":
            self.found += _of_styles(data)


def _loaded(tag: str, attributes: list[tuple[str, str | None]]) -> Iterator[str]:
    for name, value in attributes:
        if name in ("src", "poster") or (tag, name) in (("link", "href"), ("use", "href"), ("object", "data")):
            yield value or ""
        elif name == "srcset":
            yield from (value or "").split(",")
        elif name == "style":
            yield from _of_styles(value or "")


def _of_styles(text: str) -> list[str]:
    addresses = [first or second for first, second in _IN_STYLES.findall(text)]
    return [address for address in addresses if _FOREIGN.match(address)]


if __name__ == "__main__":
    main()
