"""A browser for the whole session, an app with a dashboard for each module, and screenshots.

The tests need Chromium (Debian: `apt-get install chromium`; elsewhere its path in the variable CHROMIUM), and are
skipped without it. `pytest -m browser --screenshots FOLDER` writes a picture of each page, light and dark, wide and
narrow.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from emulator.testing import AppUnderTest, start
from tests.dashboard.conftest import APP, HUB, SETTINGS
from tests.running_apps import DURABLE_APP, write_app

ATTACK = "<img src=x onerror=alert(1)>"
"""A text that would run a script, or make a console error, if a page showed it as HTML."""
# A page that a busy machine shows late is not a defect. Below the time limit of a test, whose error names no element.
PATIENCE_MILLISECONDS = 45_000
_SIZES = {"wide": (1280, 800), "narrow": (390, 844)}


@dataclass(frozen=True)
class Visitor:
    """A page of the browser, opened on the dashboard of an app.

    `page`: Playwright's. `problems`: errors of scripts and refused requests so far.
    """

    page: Any
    app: AppUnderTest
    problems: list[str]
    screenshots: Path | None

    async def open(self, address: str = "") -> None:
        """Open a page by its address behind `#/` and wait for its heading."""
        # By another page, so that nothing of the last test is left.
        for step in ("nothing", address):
            await self.page.evaluate("address => { location.hash = '#/' + address; }", step)
            await self.page.locator("main h1, main .message" if step == "nothing" else "main h1").first.wait_for()

    async def picture(self, name: str) -> None:
        """Write pictures of the open page, if the option --screenshots is given."""
        if self.screenshots is None:
            return
        for scheme in ("light", "dark"):
            await self.page.emulate_media(color_scheme=scheme)
            for size, (width, height) in _SIZES.items():
                await self.page.set_viewport_size({"width": width, "height": height})
                await self.page.screenshot(path=self.screenshots / f"{name}-{scheme}-{size}.png")
        await self.page.emulate_media(color_scheme="light")
        await self.page.set_viewport_size({"width": 1280, "height": 800})


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    """Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.async_api", reason="the package playwright is not installed")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no Chromium: apt-get install chromium, or set CHROMIUM to its path")
    async with playwright.async_playwright() as driver:
        # Root, as in containers, cannot use the sandbox of Chromium.
        running = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield running
        await running.close()


# Not of the session: while an app runs, its console takes the log lines of all hosts in this process.
@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AppUnderTest]:
    """The app of the tests, after a few runs: an instance, a poison message, a blob, a captured output."""
    folder = write_app(tmp_path_factory.mktemp("browser") / "shop", DURABLE_APP, APP, host=HUB, settings=SETTINGS)
    async with start(folder) as app:
        await app.post("/api/start?id=order-1")
        await app.wait("order-1")
        await app.put_message("orders", "good <i>1</i>")
        await app.put_message("orders", "bad 1")
        await app.settle()
        await app.upload("documents/<b>report</b>.json", f'{{"total": 12.5, "items": [{{"name": "{ATTACK}"}}]}}')
        await app.invoke("bus", ATTACK)
        yield app


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def only_visitor(browser: Any, shop: AppUnderTest, request: pytest.FixtureRequest) -> AsyncIterator[Visitor]:
    """The one page of a module: loading the files of the dashboard again for each test takes half of the time."""
    async with visiting(browser, shop, request) as visitor:
        yield visitor


@asynccontextmanager
async def visiting(browser: Any, app: AppUnderTest, request: pytest.FixtureRequest) -> AsyncIterator[Visitor]:
    """Open a page of the browser on the dashboard of an app."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    problems: list[str] = []

    def note(text: str) -> None:
        problems.append(text)

    page.on("pageerror", lambda error: note(f"script: {error}"))
    page.on(
        "console",
        lambda message: note(f"console: {message.text} {message.location}") if message.type == "error" else None,
    )
    page.on("request", lambda sent: None if sent.url.startswith((app.url, "blob:")) else note(f"request: {sent.url}"))
    folder = request.config.getoption("--screenshots")
    await page.goto(app.dashboard_url)
    yield Visitor(page, app, problems, Path(folder) if folder else None)
    await context.close()


@pytest.fixture
def visitor(only_visitor: Visitor) -> Iterator[Visitor]:
    """The page. At the end no script may have failed, and no other host may have been asked for anything."""
    only_visitor.problems.clear()
    yield only_visitor
    assert only_visitor.problems == []
