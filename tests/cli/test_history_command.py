"""`azemu history`: on a running host, and on storage without it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emulator.cli.command import main
from tests.processes import started
from tests.running_apps import DURABLE_APP, write_app

APP = """
@app.orchestration_trigger(context_name="context")
def order(context):
    price = yield context.call_activity("price", context.get_input())
    answer = yield context.wait_for_external_event("approve")
    return [price, answer]

@app.activity_trigger(input_name="item")
def price(item: str) -> int:
    return len(item)
"""


def test_a_host_and_storage_export_fork_import_and_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write_app(tmp_path / "app", DURABLE_APP, APP)
    file = tmp_path / "o-1.json"

    def azemu(*words: str, code: int = 0) -> tuple[str, str]:
        assert main([*words, "--app", str(app)]) == code, capsys.readouterr()
        return capsys.readouterr()

    with started(app, "--storage", "builtin") as host:
        host.wait_for("For detailed output")
        azemu("durable", "start", "order", "apple", "--id", "o-1")
        while '"TaskCompleted"' not in azemu("durable", "show", "o-1", "--history", "--json")[0]:
            pass
        azemu("durable", "raise", "o-1", "approve", "true")
        while '"Completed"' not in azemu("durable", "show", "o-1", "--json")[0]:
            pass
        assert azemu("history", "export", "o-1", "-o", str(file))[1] == f"Wrote 11 events of 1 instance to {file}.\n"
        assert json.loads(file.read_text()) | {"exportedAt": 0} == (
            json.loads(azemu("history", "export", "o-1")[0]) | {"exportedAt": 0}
        )
        table = azemu("history", "fork", "o-1")[0].splitlines()
        assert [line.split()[0] for line in table] == ["EVENT", "0", "4", "7"]
        assert table[-1].endswith("8 EventRaised approve")
        done = azemu("history", "fork", "o-1", "--at", "5", "--event-input", "9", "--id", "o-2")
        assert done == (
            "o-2\n",
            "Forked o-1 at event 4. 4 events are used again.\n"
            "Events that came later, and are not raised again: approve (--with-events).\n",
        )
        azemu("durable", "raise", "o-2", "approve", "false")
        while '"Completed"' not in (shown := azemu("durable", "show", "o-2", "--json")[0]):
            pass
        assert json.loads(shown)["instance"]["output"] == [9, False]
        assert "is left as it is" in azemu("history", "import", str(file), code=1)[1]
        assert azemu("history", "import", str(file), "--id", "o-3")[0] == "o-3\n"
        assert azemu("history", "fork", "o-1", "--at", "6", code=1)[1].startswith(
            "Event 6 (OrchestratorCompleted) is in the middle of an episode"
        )
        report = json.loads(azemu("history", "replay", "o-3", "--json")[0])
        assert (report["version"], report["episodes"], report["divergences"]) == (1, 3, [])

    # Without the host, and with other code.
    builtin = ("--storage", "builtin")
    out, err = azemu("history", "fork", "o-1", "--at", "8", "--event-input", "true", "--json", *builtin)
    assert 'Using the task hub "TestHubName" in built-in storage' in err
    assert json.loads(out)["source"] == "o-1"
    assert azemu("history", "export", "o-2", *builtin)[0] != ""
    source = (app / "function_app.py").read_text()
    (app / "function_app.py").write_text(
        source.replace('wait_for_external_event("approve")', 'call_activity("price", "x")')
    )
    report = json.loads(azemu("history", "replay", str(file), "--json", code=1)[0])
    [divergence] = report["divergences"]
    line = source[: source.index("answer = yield")].count("\n") + 1
    assert (divergence["line"], divergence["found"]) == (line, '#1 activity "price"')
    assert divergence["file"].endswith("function_app.py")
    assert f"function_app.py:{line}" in azemu("history", "replay", str(file), code=1)[0]


def test_an_account_in_azure_is_only_written_with_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write_app(tmp_path / "app", DURABLE_APP, APP)
    assert main(["history", "fork", "i", "--at", "x", "--app", str(app)]) == 2
    assert "--at: 'x' is not the number of an event." in capsys.readouterr().err
    assert main(["history", "fork", "i", "--input", "1", "--app", str(app)]) == 2
    assert "--at is missing" in capsys.readouterr().err
    assert main(["history", "pytest", "i", "-o", "run.py", "--app", str(app)]) == 2
    assert "pytest does not find 'run.py'" in capsys.readouterr().err
    (tmp_path / "damaged.json").write_text("{")
    assert main(["history", "import", str(tmp_path / "damaged.json"), "--app", str(app)]) == 1
    assert "damaged.json is not JSON" in capsys.readouterr().err
