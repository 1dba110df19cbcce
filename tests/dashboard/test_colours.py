"""Colours of the pages: enough contrast in both themes (WCAG 2.2, 1.4.3 level AA), and the same dark theme twice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emulator.dashboard import mount

STYLE = (Path(mount.__file__).parent / "static" / "style.css").read_text(encoding="utf-8")
BLOCKS = re.findall(r":root[^{]*\{([^}]*)\}", STYLE)
# Text colour and the backgrounds on which it is used.
SURFACES = ("bg", "surface", "raised", "hover", "code-bg")
PAIRS = [
    *(("text", surface) for surface in (*SURFACES, "selected")),
    *(("muted", surface) for surface in SURFACES),
    *(("accent", surface) for surface in (*SURFACES, "selected")),
    *((colour, surface) for colour in ("red", "yellow", "green") for surface in ("surface", "bg", "hover", "code-bg")),
    *((tone, f"{tone}-bg") for tone in ("red", "green", "yellow", "blue", "grey")),
    *((f"j-{kind}", "code-bg") for kind in ("key", "string", "number", "word")),
    ("accent-text", "accent"),
]


def colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    def linear(part: str) -> float:
        value = int(part, 16) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(colour[index : index + 2]) for index in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_texts_have_enough_contrast(theme: int) -> None:
    defined = colours(BLOCKS[theme])
    low = {pair: round(ratio, 2) for pair in PAIRS if (ratio := contrast(*(defined[name] for name in pair))) < 4.5}
    assert low == {}


def test_the_dark_theme_is_the_same_by_choice_and_by_system() -> None:
    by_system, by_choice = (re.sub(r"\s+", " ", block) for block in BLOCKS[1:3])
    assert by_system.strip() == by_choice.strip()
