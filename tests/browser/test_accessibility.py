"""WCAG 2.2 AA on all pages, in the light and the dark theme, as axe-core checks it."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAGES = [
    "",
    "functions",
    "functions/consume?tab=invocations",
    "functions/items",
    "instances",
    *(f"instances/order-1?tab={tab}" for tab in ("timeline", "history", "sequence", "comparison")),
    "entities",
    "storage",
    "storage/queues/orders-poison",
    "storage/tables/DashHubHistory",
    "storage/blobs/documents",
    "logs",
    "settings",
]
_STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Only the rule about contrast depends on the theme.
_RULES = {
    "light": {"type": "tag", "values": [*_STANDARDS, "best-practice"]},
    "dark": {"type": "rule", "values": ["color-contrast"]},
}
_NARROW_RULES = {"type": "rule", "values": ["link-name", "target-size"]}
_CHECK = """async ([where, runOnly]) => {
    const { violations } = await axe.run(document.querySelector(where), { runOnly, resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 200))}`);
}"""


async def test_pages_have_no_violation_of_the_guidelines(visitor: Visitor) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed")
    page = visitor.page
    await page.evaluate(axe.Axe().axe_script)
    violations = []
    for address in PAGES:
        await visitor.open(address)
        await page.wait_for_function("() => !document.querySelector('main .loading')")
        # The navigation is the same on all pages.
        where = "main" if address else "body"
        for theme, rules in _RULES.items():
            await page.emulate_media(color_scheme=theme)
            violations += [f"#/{address}, {theme}: {each}" for each in await page.evaluate(_CHECK, [where, rules])]
    await page.emulate_media(color_scheme="light")
    await page.set_viewport_size({"width": 390, "height": 844})
    for address in ("functions", "entities", "logs"):
        await visitor.open(address)
        violations += [f"#/{address}, narrow: {each}" for each in await page.evaluate(_CHECK, ["body", _NARROW_RULES])]
    await page.set_viewport_size({"width": 1280, "height": 800})
    assert violations == []
