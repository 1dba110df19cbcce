"""`azemu init`: the files of a new app, existing files, and launch files of VS Code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from emulator.cli.command import main
from emulator.scaffolding.catalogue import TEMPLATES, app_templates, function_templates
from tests.scaffolding.commands import azemu, refused

FILES = [
    ".funcignore",
    ".gitignore",
    ".vscode/extensions.json",
    ".vscode/launch.json",
    ".vscode/tasks.json",
    "function_app.py",
    "host.json",
    "local.settings.json",
    "requirements.txt",
    "tests/test_function_app.py",
]


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_app_has_all_files(tmp_path: Path) -> None:
    azemu("init", tmp_path / "2-order app", "--template", "order")
    app = tmp_path / "2-order app"
    assert files_below(app) == FILES
    assert (app / "requirements.txt").read_text() == "azure-functions\nazure-functions-durable>=1.7.0,<2\n"
    host = content(app / "host.json")
    assert host["extensionBundle"]["id"] == "Microsoft.Azure.Functions.ExtensionBundle"
    assert host["extensions"] == {"durableTask": {"hubName": "OrderApp"}}
    assert content(app / "local.settings.json")["Values"]["AzureWebJobsStorage"] == "UseDevelopmentStorage=true"


def test_default_is_an_http_function_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    azemu("init")
    assert "@app.route" in (tmp_path / "function_app.py").read_text()
    assert "extensions" not in content(tmp_path / "host.json")


def test_options_of_func_init_are_accepted(tmp_path: Path) -> None:
    azemu("init", tmp_path, "--worker-runtime", "python", "-m", "V2", "--python")
    assert (tmp_path / "function_app.py").is_file()


def test_connections_of_a_template_are_in_the_settings(tmp_path: Path) -> None:
    azemu("init", tmp_path, "--template", "eventhub")
    assert content(tmp_path / "local.settings.json")["Values"]["EventHubConnection"] == ""


def test_existing_files_are_named_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "function_app.py").write_text("mine")
    message = refused(capsys, "init", tmp_path)
    assert "already contains an app (function_app.py)" in message
    assert "`azemu new`" in message
    assert files_below(tmp_path) == ["function_app.py"]
    azemu("init", tmp_path, "--force")
    assert files_below(tmp_path) == FILES
    assert (tmp_path / "function_app.py").read_text() != "mine"


def test_lines_are_added_to_existing_lists(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("# mine\n*.log\n.venv/")
    azemu("init", tmp_path)
    lines = (tmp_path / ".gitignore").read_text().splitlines()
    assert lines[:3] == ["# mine", "*.log", ".venv/"]
    assert lines.count(".venv/") == 1
    assert "local.settings.json" in lines


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            b"azure-functions==1.21.0\r\nrequests",
            b"azure-functions==1.21.0\r\nrequests\r\nazure-functions-durable>=1.7.0,<2\r\n",
        ),
        (b"Azure_Functions_Durable >= 1.2\n", b"Azure_Functions_Durable >= 1.2\nazure-functions\n"),
    ],
)
def test_packages_that_are_required_already_are_not_added(tmp_path: Path, before: bytes, after: bytes) -> None:
    (tmp_path / "requirements.txt").write_bytes(before)
    azemu("init", tmp_path, "--template", "durable")
    assert (tmp_path / "requirements.txt").read_bytes() == after


@pytest.mark.parametrize("where", ["git", "option"])
def test_launch_files_are_in_the_workspace(tmp_path: Path, where: str) -> None:
    app = tmp_path / "services" / "mail"
    if where == "git":
        (tmp_path / ".git").mkdir()
        azemu("init", app)
    else:
        azemu("init", app, "--workspace", tmp_path)
    assert not (app / ".vscode").exists()
    launch, tasks = content(tmp_path / ".vscode" / "launch.json"), content(tmp_path / ".vscode" / "tasks.json")
    run = launch["configurations"][0]
    assert (run["module"], run["args"]) == ("azemu", ["start", "--no-reload"])
    assert run["cwd"] == "${workspaceFolder}/services/mail"
    assert {task["options"]["cwd"] for task in tasks["tasks"]} == {"${workspaceFolder}/services/mail"}
    # VS Code finds the task of a configuration by its label.
    labels = [task["label"] for task in tasks["tasks"]]
    assert [entry["preLaunchTask"] in labels for entry in launch["configurations"] if "preLaunchTask" in entry] == [
        True
    ]
    assert str(tmp_path) not in (tmp_path / ".vscode" / "launch.json").read_text()


def test_console_has_the_lines_that_the_problem_matcher_waits_for(tmp_path: Path) -> None:
    azemu("init", tmp_path)
    background = content(tmp_path / ".vscode" / "tasks.json")["tasks"][0]["problemMatcher"]["background"]
    # tests/process checks that the console has them.
    assert re.match(background["endsPattern"], "[2026-01-31T08:00:00.000Z] Worker process started and initialized.")
    assert re.match(background["beginsPattern"], "Restarting the host.")


def test_existing_launch_files_are_kept_and_what_to_add_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".vscode").mkdir()
    launch = '{ // mine\n  "version": "0.2.0", "configurations": [{"name": "Mine"},], }\n'
    (tmp_path / ".vscode" / "launch.json").write_text(launch)
    (tmp_path / ".vscode" / "tasks.json").write_text("")
    azemu("init", tmp_path / "one", "--workspace", tmp_path, "--json")
    document = json.loads(capsys.readouterr().out)
    assert (tmp_path / ".vscode" / "launch.json").read_text() == launch
    [(path, snippet)] = document["snippets"].items()
    assert path == str(tmp_path / ".vscode" / "launch.json")
    names = [entry["name"] for entry in snippet["configurations"]]
    assert names == ["azemu: run and debug (one)", "azemu: start and attach (one)"]
    # Once they are there, nothing is left to add.
    snippet["configurations"].insert(0, {"name": "Mine"})
    (tmp_path / ".vscode" / "launch.json").write_text(json.dumps(snippet))
    azemu("init", tmp_path / "one", "--workspace", tmp_path, "--force", "--json")
    assert json.loads(capsys.readouterr().out)["snippets"] == {}


def test_app_in_the_folder_of_another_one_is_mentioned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    azemu("init", tmp_path)
    azemu("init", tmp_path / "inner")
    assert f"'{tmp_path}' is an app, too." in capsys.readouterr().out


def test_list_has_all_templates(capsys: pytest.CaptureFixture[str]) -> None:
    azemu("init", "--list")
    azemu("new", "--list")
    shown = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert shown == {template.name for template in TEMPLATES}
    azemu("init", "--list", "--json")
    names = [entry["name"] for entry in json.loads(capsys.readouterr().out)["templates"]]
    assert names == [template.name for template in app_templates()]
    assert main(["new", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {template.name} " in out for template in function_templates())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--template", "durabel"), "Did you mean 'durable'?"),
        (("--template", "activity"), "There is no template 'activity'."),
        (("--workspace", "elsewhere"), "is not in the folder"),
    ],
)
def test_wrong_options_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert message in refused(capsys, "init", tmp_path / "app", *words)
    assert files_below(tmp_path) == []


def test_other_languages_are_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--worker-runtime", "node"]) == 2
    assert "azemu runs apps in Python only, not in 'node'." in capsys.readouterr().err
