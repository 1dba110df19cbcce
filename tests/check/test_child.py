"""Apps whose import ends the process, crashes it, or does not return: `azemu check` says so, and checks the files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.check.apps import COMPLETE, write_app
from tests.processes import environment, has_ended, run, run_in_this_process
from tests.waiting import PATIENCE_SECONDS, eventually_sync

HELPER = "import helper\nimport azure.functions as func\nimport azure.durable_functions as df\n\napp = df.DFApp()\n"
ORCHESTRATOR = """
import time

@app.orchestration_trigger(context_name="context")
def late(context):
    time.sleep(1)
    yield context.call_activity("x")
"""


@pytest.mark.parametrize(
    ("helper", "says"),
    [
        ("import os\n\nos._exit(0)\n", "called os._exit(), which ends the worker of Azure as well"),
        (
            "import threading\n\nwaits = threading.Event()\nwaits.wait()\n",
            "has not ended after 2 seconds. Do not wait, listen or poll in a module.",
        ),
        ("import faulthandler\n\n\nfaulthandler._sigsegv()\n", "ended its process ("),
        ('import sys\n\nsys.exit("no licence")\n', "no licence"),
        ("\n\ninput()\n", "EOF"),
    ],
    ids=["os._exit", "hang", "crash", "sys.exit", "input"],
)
def test_an_import_without_an_end_is_a_finding_at_its_line(tmp_path: Path, helper: str, says: str) -> None:
    app = write_app(tmp_path / "app", {**COMPLETE, "helper.py": helper, "function_app.py": HELPER + ORCHESTRATOR})
    done = run_in_this_process("check", "--app", str(app), "--timeout", "2", "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    findings = json.loads(done.stdout)["findings"]
    [failure] = [finding for finding in findings if finding["code"] == "AZ101"]
    lines = helper.splitlines()
    assert (failure["file"], failure["line"]) == ("helper.py", len(lines))
    assert says in failure["message"]
    # The files are checked all the same.
    assert "AZ206" in [finding["code"] for finding in findings]


def test_an_app_is_imported_in_its_folder_and_prints_to_the_standard_error(tmp_path: Path) -> None:
    source = 'import os\nos.write(1, b"from the app\\n")\nprint(open("data.txt").read())\n'
    plain = '\n@app.route(route="a")\ndef a(req):\n    return ""\n'
    files = {**COMPLETE, "helper.py": source, "function_app.py": HELPER + plain, "data.txt": "data of the app"}
    write_app(tmp_path / "app", files)
    done = run("check", "--app", "app", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "Nothing found in 1 function.\n"), done.stderr
    assert "from the app" in done.stderr
    assert "data of the app" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent to a console there")
def test_ctrl_c_ends_the_check_and_its_process(tmp_path: Path) -> None:
    source = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)\n"
    app = write_app(tmp_path, {**COMPLETE, "helper.py": source, "function_app.py": HELPER})
    words = [sys.executable, "-m", "emulator", "check", "--app", str(app)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(words, cwd=root, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        eventually_sync(lambda: (app / "pid").exists() and (app / "pid").read_text(), "the process of the app")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, err) == (130, "")
    assert has_ended(int((app / "pid").read_text()))
