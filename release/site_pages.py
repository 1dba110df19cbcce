"""Pages of the documentation site that are not in docs/: samples, changelog, architecture. A hook of MkDocs.

All pages are also read on their own in the repository, so their links are paths of the repository. Links between pages
of the site become links of the site; links to other files, such as source code, become plain text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[1]

_SAMPLES: Final = sorted(path.parent.name for path in ROOT.glob("samples/*/README.md"))
_SAMPLES_PAGE: Final = "samples/index.md"
# Pages of the site by the paths of their sources in the repository.
_ADDED: Final = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing/index.md",
    "ARCHITECTURE.md": "contributing/architecture.md",
    "benchmarks/RESULTS.md": "contributing/benchmarks.md",
    **{f"samples/{name}/README.md": f"samples/{name}.md" for name in _SAMPLES},
}
_SOURCES: Final = {page: source for source, page in _ADDED.items()}

_FILE_NAME: Final = re.compile(r"[\w./-]+\.md")
# A link, or code, in which nothing is a link.
_LINK_OR_CODE: Final = re.compile(
    r"^```.*?^```|`[^`\n]+`|(?P<image>!?)\[(?P<text>(?:[^\[\]`]|`[^`]*`)*)\]\((?P<target>[^()\s#]+)(?P<anchor>#[^()\s]*)?\)",
    re.DOTALL | re.MULTILINE,
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the samples to the navigation."""
    assert config.nav is not None
    [start] = [section["Start"] for section in config.nav if "Start" in section]
    [samples] = [entry["Samples"] for entry in start if isinstance(entry, dict) and "Samples" in entry]
    samples += [f"samples/{name}.md" for name in _SAMPLES]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for source, page in _ADDED.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, _SAMPLES_PAGE, content=_list_of_samples()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Adapt the links of a page to the site, and show the code of samples."""
    name = page.file.src_uri
    source = "samples.md" if name == _SAMPLES_PAGE else _SOURCES.get(name, f"docs/{name}")
    known = {file.src_uri for file in files}
    titles = _titles(files)
    # Pages for contributors are long and have every word, so that they would come first in most searches.
    if name.startswith(("protocol/", "decisions/", "contributing/")):
        page.meta["search"] = {"boost": 0.1}

    def replaced(match: re.Match[str]) -> str:
        target = match["target"]
        if target is None or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        found = _page_of(path, known)
        if found is None:
            # MkDocs reports links that lead nowhere.
            return match["text"] if (ROOT / path).exists() else match[0]
        address = posixpath.relpath(found, posixpath.dirname(name))
        # In the repository, links are named like files; on the site, like pages.
        text = titles.get(found, match["text"]) if _FILE_NAME.fullmatch(match["text"]) else match["text"]
        return f"{match['image']}[{text}]({address}{match['anchor'] or ''})"

    text = _LINK_OR_CODE.sub(replaced, markdown)
    app = ROOT / posixpath.dirname(source) / "function_app.py"
    if source.startswith("samples/") and app.is_file():
        text += f"\n\n## function_app.py\n\n```python\n{app.read_text(encoding='utf-8').rstrip()}\n```\n"
    return text


def _titles(files: Files) -> dict[str, str]:
    """Return the headings of the pages by their names."""
    pages = ((file.src_uri, file.content_string) for file in files if file.is_documentation_page())
    return {name: found[1] for name, text in pages if (found := re.match(r"# (.+)", text))}


def _page_of(path: str, known: set[str]) -> str | None:
    """Return the page or picture of the site that shows a file or folder of the repository; None: there is none."""
    if path == "README.md":
        return "index.md"
    if path == "samples":
        return _SAMPLES_PAGE
    inside = path.removeprefix("docs/")
    candidates = (_ADDED.get(path), _ADDED.get(f"{path}/README.md"), inside, f"{inside}/README.md")
    return next((name for name in candidates if name in known), None)


def _list_of_samples() -> str:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^## Samples\n(.*?)(?=^## )", readme, re.DOTALL | re.MULTILINE)
    assert found is not None, "README.md has no chapter Samples"
    return f"# Samples\n\nEach sample is an app that runs with `azemu start`, and is tested.\n{found[1]}"
