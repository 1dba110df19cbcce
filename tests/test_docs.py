"""What the documentation shows is what the tests run."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("samples/*/README.md"))]


def test_every_example_of_the_testing_guide_is_part_of_a_test() -> None:
    tested = "\n".join(path.read_text() for path in sorted((ROOT / "tests").rglob("test_*.py")))
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL)
    assert len(examples) >= 6
    assert [example for example in examples if example.rstrip("\n") not in tested] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_sample_is_in_the_readme_and_has_a_page() -> None:
    samples = sorted(folder.name for folder in (ROOT / "samples").iterdir() if (folder / "function_app.py").is_file())
    readme = (ROOT / "README.md").read_text()
    assert [name for name in samples if f"(samples/{name})" not in readme] == []
    assert [name for name in samples if not (ROOT / "samples" / name / "README.md").is_file()] == []
