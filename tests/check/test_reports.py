"""The command `azemu check`: exit codes, text, JSON, SARIF."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from emulator.check.findings import RULES
from emulator.cli.arguments import CommandLine, parse
from emulator.cli.command import main
from tests.check.apps import COMPLETE, HEADER, write_app
from tests.processes import run

SOURCE = HEADER + (
    '\n\n@app.activity_trigger(input_name="value")\ndef unused(value):\n    return value\n'
    '\n\n@app.orchestration_trigger(context_name="context")\ndef flow(context):\n'
    '    print("printed by the app")\n    yield\n'
)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write_app(tmp_path / "repository" / "api", {**COMPLETE, "function_app.py": SOURCE})


def test_text_has_a_line_for_each_finding(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--app", str(app)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "function_app.py:8:1: warning AZ409 No orchestrator calls the activity 'unused'. Call it, or delete it.",
        "function_app.py:13:1: info AZ410 The app does not name the orchestrator 'flow' anywhere. It can run with its "
        "management API only.",
        "function_app.py:15:5: error AZ306 The orchestrator yields nothing, and fails or never continues. Yield tasks "
        "of the context only.",
    ]
    assert lines[3:] == ["1 error, 1 warning, 1 note in 2 functions."]


def test_exit_codes(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warning = app / "function_app.py"
    warning.write_text(SOURCE.replace("    yield\n", "    yield context.wait_for_external_event('x')\n"))
    assert main(["check", "--app", str(app)]) == 0
    assert main(["check", "--app", str(app), "--strict"]) == 1
    warning.write_text(
        "import azure.functions as func\n\napp = func.FunctionApp()\n\n\n@app.route()\ndef a(req): ...\n"
    )
    capsys.readouterr()
    assert main(["check", "--app", str(app), "--strict"]) == 0
    assert capsys.readouterr().out == "Nothing found in 1 function.\n"
    assert main(["check", "--app", str(app.parent / "nothing")]) == 1
    assert main(["check", "--wrong"]) == 2


def test_json_is_the_only_output_although_the_app_prints(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app / "function_app.py").write_text("print('at import')\n" + SOURCE)
    assert main(["check", "--app", str(app), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert {key: document[key] for key in ("version", "functions", "errors", "warnings", "notes")} == {
        "version": 1,
        "functions": 2,
        "errors": 1,
        "warnings": 1,
        "notes": 1,
    }
    [error] = [each for each in document["findings"] if each["level"] == "error"]
    assert error["message"].startswith("The orchestrator yields nothing")
    assert {key: error[key] for key in ("code", "title", "file", "line", "column")} == {
        "code": "AZ306",
        "title": RULES["AZ306"].title,
        "file": "function_app.py",
        "line": 16,
        "column": 5,
    }


def test_columns_are_characters(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = SOURCE.replace("    yield\n", '    "\\d\x0c äöü"; yield 5\n')
    (app / "function_app.py").write_text("# -*- coding: utf-8 -*-\r\n" + source, encoding="utf-8", newline="")
    main(["check", "--app", str(app), "--no-import", "--json"])
    [error] = [each for each in json.loads(capsys.readouterr().out)["findings"] if each["level"] == "error"]
    assert (error["line"], error["column"]) == (16, 16)


def test_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--rules"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(RULES)
    assert main(["check", "--rules", "--json"]) == 0
    assert [rule["code"] for rule in json.loads(capsys.readouterr().out)["rules"]] == list(RULES)


def test_sarif_has_paths_from_the_repository(app: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (app.parent / ".git").mkdir()
    file = tmp_path / "check.sarif"
    assert main(["check", "--app", str(app), "--sarif", str(file)]) == 1
    log = json.loads(file.read_text(encoding="utf-8"))
    check_sarif(log)
    results = log["runs"][0]["results"]
    assert [(each["ruleId"], each["level"]) for each in results] == [
        ("AZ409", "warning"),
        ("AZ410", "note"),
        ("AZ306", "error"),
    ]
    place = results[2]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "api/function_app.py", "uriBaseId": "ROOT"}
    assert place["region"] == {"startLine": 15, "startColumn": 5}
    base = log["runs"][0]["originalUriBaseIds"]["ROOT"]["uri"]
    assert base.startswith("file:///")
    assert base.endswith("/repository/")
    capsys.readouterr()
    assert main(["check", "--app", str(app), "--sarif", str(tmp_path / "no" / "folder.sarif")]) == 1
    assert "folder.sarif: the file cannot be written" in capsys.readouterr().err


def check_sarif(log: Any) -> None:
    """The members that SARIF 2.1.0 requires, and the limits of their values that matter here."""
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    for each in log["runs"]:
        driver = each["tool"]["driver"]
        assert driver["name"]
        assert each["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(set(ids)) == len(ids)
        assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
        for result in each["results"]:
            assert result["message"]["text"]
            assert result["level"] in ("none", "note", "warning", "error")
            assert ids[result["ruleIndex"]] == result["ruleId"]
            for location in result["locations"]:
                physical = location["physicalLocation"]
                assert not re.match(r"/|[a-z]+:|.*[\\ ]", physical["artifactLocation"]["uri"])
                assert physical["artifactLocation"]["uriBaseId"] in each["originalUriBaseIds"]
                assert physical["region"]["startLine"] >= 1
                assert physical["region"].get("startColumn", 1) >= 1


def test_hooks_for_pre_commit_are_commands() -> None:
    hooks = yaml.safe_load((Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert [hook["id"] for hook in hooks] == ["azemu-check", "azemu-check-import"]
    for hook in hooks:
        program, *words = hook["entry"].split()
        assert program == "azemu"
        assert isinstance(parse(words), CommandLine)
        assert not hook["pass_filenames"]
        assert re.search(hook["files"], "api/function_app.py")


def test_command_ends_although_the_app_has_started_a_thread(app: Path) -> None:
    (app / "function_app.py").write_text(
        "import threading\n\nthreading.Thread(target=threading.Event().wait).start()\n" + SOURCE
    )
    completed = run("check", cwd=app)
    assert completed.returncode == 1
    assert completed.stdout.splitlines()[-1] == "1 error, 1 warning, 1 note in 2 functions."
    assert not (app / ".azemu").exists()
