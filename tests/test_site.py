"""The check of `make docs` that the documentation site loads nothing from elsewhere."""

from __future__ import annotations

import pytest

from release.site import foreign_addresses


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ('<script src="https://cdn.example/x.js"></script>', ".html"),
        ('<link rel="stylesheet" href="//fonts.example/css">', ".html"),
        ('<img alt="x" src="HTTP://example/x.png">', ".html"),
        ('<img srcset="a.png 1x, https://example/b.png 2x">', ".html"),
        ('<p style="background: url(https://example/x.png)">', ".html"),
        ("<style>@import 'https://example/x.css';</style>", ".html"),
        ('<pre class="mermaid">graph</pre>', ".html"),
        ("@font-face { src: url('https://fonts.example/x.woff2') }", ".css"),
    ],
)
def test_whatever_a_page_would_load_from_elsewhere_is_found(text: str, suffix: str) -> None:
    assert len(foreign_addresses(text, suffix)) == 1


def test_links_and_own_files_are_allowed() -> None:
    page = (
        '<link rel="stylesheet" href="../assets/main.css"><script src="assets/x.js"></script>'
        '<a href="https://example.com">there</a><img src="data:image/png;base64,AA=="><code>url(https://x)</code>'
        '<p style="background: url(data:image/svg+xml;x)">'
    )
    assert foreign_addresses(page, ".html") == []
    assert foreign_addresses("a { background: url(data:image/svg+xml,x) }", ".css") == []
