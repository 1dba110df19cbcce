"""Thumbnails of uploaded images, and the report about one that is broken."""

from pathlib import Path

import pytest

from emulator.virtual_time import VirtualClock
from tests.running_apps import copy_app, run_app
from tests.waiting import eventually, logged

SAMPLE = Path(__file__).parents[2] / "samples" / "blob-thumbnails"


async def test_an_image_gets_a_thumbnail_and_a_broken_one_is_reported(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_app(copy_app(SAMPLE, tmp_path / "app"), clock=clock) as running:
        account = running.app.accounts("AzureWebJobsStorage")
        images, thumbnails = account.container("images"), account.container("thumbnails")
        await images.create()
        await images.write("dir/cat.ppm", b"P6 128 64 255\n" + bytes(range(256)) * 96)
        await images.write("broken.ppm", b"GIF89a")
        await images.write("notes.txt", b"no image")

        async def made() -> list[str]:
            return [blob.name async for blob in thumbnails.list()] if await thumbnails.exists() else []

        assert await eventually(made, "a thumbnail", clock=clock) == ["dir/cat.ppm"]
        small = await thumbnails.read("dir/cat.ppm")
        assert small.startswith(b"P6\n64 32\n255\n")
        await logged(caplog, "No thumbnail of images/broken.ppm: it is not a pixmap.", clock=clock)
        await clock.sleep(30)
        assert await made() == ["dir/cat.ppm"]
