"""User code in the host process that changes what it shares with the host: names, logging, output."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.processes import PROJECT, get, started
from tests.running_apps import HTTP_APP, write_app

APP = """
import importlib.util, logging.config, os, sys
from emulator import VALUE

def switch_off() -> None:
    logging.disable(logging.CRITICAL)
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": True, "root": {"level": "CRITICAL"}})
    logging.setLoggerClass(type("Silent", (logging.Logger,), {"handle": lambda self, record: None}))
    logging.setLogRecordFactory(lambda *values, **more: 1 / 0)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        stream.close()
    os.close(1)

@app.route("hello")
def hello(req: func.HttpRequest) -> str:
    logging.info("logged by the app")
    print("printed by the app")
    names = [name for name in ("benchmarks", "docs", "requirements") if importlib.util.find_spec(name)]
    return f"{VALUE} {names}"

@app.route("silence")
def silence(req: func.HttpRequest) -> str:
    switch_off()
    return "silent"

@app.route("wrong")
async def wrong(req: func.HttpRequest) -> str:
    raise ValueError("this is wrong")

@app.route("invoice")
def invoice(req: func.HttpRequest) -> func.HttpResponse:
    headers = {"Content-Disposition": 'attachment; filename="Übersicht März.pdf"'}
    return func.HttpResponse(b"%PDF-", mimetype="application/pdf", headers=headers)
"""


def test_host_goes_on_whatever_user_code_does_to_the_process(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", HTTP_APP, APP, emulator="VALUE = 'mine'")
    # The app's folder comes before azemu's on the import path.
    path = {"PYTHONPATH": os.pathsep.join((str(app), str(PROJECT)))}
    with started(app, "--storage", "builtin:memory", env=path) as azemu:
        base = azemu.url().rpartition("/")[0]
        assert get(f"{base}/hello") == "mine []"
        azemu.wait_for("logged by the app")
        azemu.wait_for("printed by the app")
        assert get(f"{base}/silence") == "silent"
        assert get(f"{base}/hello") == "mine []"
        azemu.wait_for("printed by the app")
        azemu.wait_for(r"Executed 'Functions.hello' \(Succeeded")
        for route, line in (
            ("wrong", "ValueError: this is wrong"),
            ("invoice", "Content-Disposition.*filename\\*=UTF-8"),
        ):
            with pytest.raises(HTTPError, match="500"):
                get(f"{base}/{route}")
            azemu.wait_for(line)
        azemu.interrupt()
        assert azemu.wait() == 0
        assert azemu.output.count("logged by the app") == 1
