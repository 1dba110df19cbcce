"""The pictures of the documentation: the app of the quickstart, as the dashboard shows it.

`pytest -m browser --doc-pictures docs/pictures` writes them again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from emulator.testing import AppUnderTest, start
from tests.browser.conftest import Visitor, visiting
from tests.scaffolding.commands import azemu

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

# The folder and the name of the machine that takes the pictures belong in no documentation.
_HIDE_THE_MACHINE = """() => {
    document.querySelector(".subtitle").textContent = "~/order-app";
    const owners = document.querySelectorAll("[aria-label=Partitions] td:nth-child(2) .mono");
    owners.forEach(owner => { owner.textContent = "laptop"; });
}"""
BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest_asyncio.fixture(loop_scope="session")
async def orders(tmp_path: Path) -> AsyncIterator[AppUnderTest]:
    """The app of the template "order" with orders that were shipped, not paid, rejected, or wait for an approval."""
    azemu("init", tmp_path / "order-app", "--template", "order")
    async with start(tmp_path / "order-app", now=BEGIN) as app:

        async def place(number: int, item: str, quantity: int, price: float) -> None:
            order = {"item": item, "quantity": quantity, "price": price}
            await app.client.start_new("process_order", f"order-{number}", order)
            await app.advance(seconds=20)

        for number, (item, price) in enumerate([("book", 12.5), ("lamp", 40), ("pen", 2), ("desk", 90)], 1001):
            await place(number, item, 1, price)
        await place(1005, "book", 40, 12.5)
        app.fail("charge", times=3, error=ValueError("the card was declined"))
        await place(1006, "lamp", 2, 40)
        app.fail("charge", times=1, error=ConnectionError("no route to the bank"))
        await place(1007, "cup", 3, 8)
        await place(1008, "desk", 2, 90)
        await app.client.raise_event("order-1008", "approval", {"approved": True})
        await app.advance(minutes=2)
        await place(1009, "lamp", 3, 40)
        await app.client.terminate("order-1009", "the customer has cancelled it")
        await place(1010, "desk", 3, 90)
        yield app


async def test_pictures_of_the_documentation(
    browser: Any, orders: AppUnderTest, request: pytest.FixtureRequest
) -> None:
    folder = request.config.getoption("--doc-pictures")
    if folder is None:
        pytest.skip("writes pictures: --doc-pictures FOLDER")
    async with visiting(browser, orders, request) as visitor:
        page = visitor.page
        await visitor.open()
        await page.get_by_role("table", name="Partitions").locator("td").first.wait_for()
        await page.get_by_role("table", name="Queues").locator("td").first.wait_for()
        await page.evaluate(_HIDE_THE_MACHINE)
        await _picture(visitor, folder, "home", height=960)
        await visitor.open("instances")
        await page.get_by_role("table", name="Instances").get_by_role("link", name="order-1010").wait_for()
        await _picture(visitor, folder, "instances")
        await visitor.open("instances/order-1007")
        rows = page.get_by_role("listbox")
        await rows.get_by_role("option", name="activity charge, completed, 2 attempts").click()
        await page.mouse.move(1100, 10)  # away from the hint of the bar
        await _picture(visitor, folder, "timeline", height=960)
        await page.get_by_role("tab", name="Sequence").click()
        await page.get_by_role("img", name="process_order to charge").first.wait_for()
        await _picture(visitor, folder, "sequence", height=960)
        await visitor.open("instances/order-1010")
        await page.get_by_role("region", name="Why it does not progress").wait_for()
        await _picture(visitor, folder, "waiting")


async def _picture(visitor: Visitor, folder: str, name: str, *, height: int = 640) -> None:
    await visitor.page.set_viewport_size({"width": 1200, "height": height})
    await visitor.page.screenshot(path=Path(folder) / f"{name}.png")
