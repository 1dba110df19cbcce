"""Isolation: apps in one process do not affect each other, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from emulator.logs import get_logger
from emulator.testing import start, start_sync
from tests.running_apps import DURABLE_APP, write_app
from tests.testing.apps import SHOP

WORD_APP = """
from words import WORD

@app.orchestration_trigger(context_name="context")
def tell(context):
    return (yield context.call_activity("word", None))


@app.activity_trigger(input_name="nothing")
def word(nothing: str) -> str:
    logging.info("the word is %s", WORD)
    return WORD


@app.route(route="tell")
@app.durable_client_input(client_name="client")
async def start_tell(req: func.HttpRequest, client) -> func.HttpResponse:
    return client.create_check_status_response(req, await client.start_new("tell"))
"""


def write_word_app(folder: Path, word: str) -> Path:
    """An app whose module `words` has the same name in other apps."""
    return write_app(folder, DURABLE_APP, WORD_APP, words=f"WORD = {word!r}\n")


async def test_two_apps_have_separate_modules_storage_logs_and_time(tmp_path: Path) -> None:
    folders = [write_word_app(tmp_path / word, word) for word in ("left", "right")]
    async with start(folders[0]) as left, start(folders[1]) as right:
        begun = left.now, right.now
        answers = await asyncio.gather(left.get("/api/tell"), right.get("/api/tell"))
        ids = [answer.json()["id"] for answer in answers]
        outputs = [(await app.wait(id)).output for app, id in zip((left, right), ids, strict=True)]
        assert outputs == ["left", "right"]
        assert [line.message for line in left.logs if line.category == "root"] == ["the word is left"]
        assert "the word is right" in right.console
        assert "the word is right" not in left.console
        assert await left.client.get_status(ids[1]) is None or (await left.client.get_status(ids[1])).name is None
        await left.advance(days=1)
        assert (left.now - begun[0]).days == 1
        assert (right.now - begun[1]).days == 0


async def test_apps_opened_one_after_another_use_their_own_modules(tmp_path: Path) -> None:
    for word in ("first", "second", "third"):
        async with start(write_word_app(tmp_path / "app", word)) as app:
            answer = await app.get("/api/tell")
            assert (await app.wait(answer.json()["id"])).output == word


def test_apps_may_close_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGION", "outside")
    folders = [write_word_app(tmp_path / word, word) for word in ("left", "right")]
    before = dict(os.environ)
    left, right = ExitStack(), ExitStack()
    left.enter_context(start_sync(folders[0], settings={"REGION": "left"}))
    app = right.enter_context(start_sync(folders[1], settings={"REGION": "right"}))
    left.close()
    assert os.environ["REGION"] == "right"
    assert app.wait(app.client.start_new("tell")).output == "right"
    right.close()
    assert dict(os.environ) == before


def test_closed_app_leaves_no_threads_modules_or_handlers(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app", DURABLE_APP, SHOP)

    def run() -> None:
        with start_sync(folder) as app:
            app.wait(app.get("/api/order/book").json()["id"])

    # The first run imports modules of azemu and the SDK, which stay imported.
    run()
    threads, modules, path = set(threading.enumerate()), set(sys.modules), list(sys.path)
    handlers, streams = list(get_logger("emulator").handlers), (sys.stdout, sys.stderr)
    run()
    gc.collect()
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=5)
    assert set(threading.enumerate()) <= threads
    assert set(sys.modules) <= modules
    assert sys.path == path
    assert get_logger("emulator").handlers == handlers
    assert (sys.stdout, sys.stderr) == streams
    assert {entry.name for entry in folder.iterdir()} <= {"function_app.py", "host.json", "__pycache__"}


async def test_missing_host_json_is_not_created(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app", DURABLE_APP, SHOP)
    (folder / "host.json").unlink()
    async with start(folder) as app:
        assert (await app.get("/api/order/book")).status == 202
    assert not (folder / "host.json").exists()


async def test_exception_of_the_test_propagates_and_the_app_is_stopped(tmp_path: Path) -> None:
    folder = write_app(tmp_path / "app", DURABLE_APP, SHOP)
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it is about the block
        async with start(folder) as app:
            await app.client.start_new("reminder")
            raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="has been stopped"):
        await app.get("/api/order/book")
