"""Files in the folder `.vscode` that let VS Code run and debug an app.

They start azemu with the Python that is selected in VS Code, so they need no activated environment. All paths begin at
the workspace, which in a container or in WSL is another folder than outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emulator import bound_json as json
from emulator.config.jsonc import NotText, read_json
from emulator.scaffolding.new_files import read_text

# The port that VS Code's extension for Azure Functions uses, too.
DEBUG_PORT: Final = 9091
# Lines of the console of `azemu start`. The second is also printed for an app that cannot be loaded.
_BEGINS: Final = "^.*Restarting the host.*$"
_ENDS: Final = "^.*Worker process started and initialized.*$"
_LIST_MEMBERS: Final = {"launch.json": "configurations", "tasks.json": "tasks", "extensions.json": "recommendations"}


@dataclass(frozen=True, slots=True)
class LaunchFiles:
    """New files by their path, and what the user has to add to existing files, by the path of the file."""

    contents: Mapping[Path, bytes]
    snippets: Mapping[Path, str]


def workspace_of(folder: Path) -> Path:
    """Return the nearest folder upwards that is a Git repository, or else the folder itself."""
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)


def launch_files(app: Path, workspace: Path) -> LaunchFiles:
    """Return the files for an app in a folder that is opened in VS Code. `app` is that folder, or below it.

    Raises ConfigurationError for a file that cannot be read.
    """
    relative = app.relative_to(workspace).as_posix()
    folder = "${workspaceFolder}" if relative == "." else f"${{workspaceFolder}}/{relative}"
    suffix = "" if relative == "." else f" ({relative})"
    start_task = f"azemu: start for the debugger{suffix}"
    wanted: dict[str, dict[str, Any]] = {
        "launch.json": {
            "version": "0.2.0",
            "configurations": [
                {
                    "name": f"azemu: run and debug{suffix}",
                    "type": "debugpy",
                    "request": "launch",
                    # One process, which is the one that the debugger controls.
                    "module": "azemu",
                    "args": ["start", "--no-reload"],
                    "cwd": folder,
                    "console": "integratedTerminal",
                },
                {
                    "name": f"azemu: start and attach{suffix}",
                    "type": "debugpy",
                    "request": "attach",
                    "connect": {"host": "127.0.0.1", "port": DEBUG_PORT},
                    "preLaunchTask": start_task,
                },
            ],
        },
        "tasks.json": {"version": "2.0.0", "tasks": _tasks(folder, suffix, start_task)},
        "extensions.json": {"recommendations": ["ms-python.python", "ms-python.debugpy"]},
    }
    contents: dict[Path, bytes] = {}
    snippets: dict[Path, str] = {}
    for name, value in wanted.items():
        path = workspace / ".vscode" / name
        if not read_text(path).strip():
            contents[path] = json_text(value).encode()
            continue
        member = _LIST_MEMBERS[name]
        # Other entries of the user stay as they are, so only what is lacking is shown.
        missing = _missing(path, member, value[member])
        if missing:
            # Only the user can add something to a file with comments without changing the rest.
            snippets[path] = json_text({member: missing})
    return LaunchFiles(contents, snippets)


def json_text(value: Mapping[str, Any]) -> str:
    """Return JSON as in the files of VS Code and Azure Functions, with two spaces of indentation."""
    return json.dumps(value, indent=2) + "\n"


def _tasks(folder: str, suffix: str, start_task: str) -> list[dict[str, Any]]:
    # In the background, so that a debugger or another task can follow when the functions run.
    background = {
        "isBackground": True,
        "problemMatcher": {
            "owner": "azemu",
            # VS Code needs a pattern. This one matches no line.
            "pattern": {"regexp": "^(?!)$", "file": 1, "line": 1, "message": 1},
            "background": {"activeOnStart": True, "beginsPattern": _BEGINS, "endsPattern": _ENDS},
        },
    }
    start = ["-m", "azemu", "start"]
    debugger = ["--python-arguments", f"-m debugpy --listen 127.0.0.1:{DEBUG_PORT}"]

    def task(label: str, arguments: list[str], **more: Any) -> dict[str, Any]:
        return {
            "label": label,
            "type": "process",
            "command": "${command:python.interpreterPath}",
            "args": arguments,
            "options": {"cwd": folder},
            **more,
        }

    return [
        task(f"azemu: start{suffix}", start, **background),
        task(start_task, [*start, *debugger], **background),
        task(f"azemu: test{suffix}", ["-m", "pytest"], group="test", problemMatcher=[]),
    ]


def _missing(path: Path, member: str, wanted: list[Any]) -> list[Any]:
    """Return the entries that the list in a file lacks. Entries are the same if their name or label is."""
    try:
        value = read_json(path).value
    except (OSError, NotText, json.JSONDecodeError):
        # VS Code reports such a file itself. The user gets all entries.
        value = None
    present = value.get(member) if isinstance(value, dict) else None
    known = [_key(entry) for entry in present] if isinstance(present, list) else []
    return [entry for entry in wanted if _key(entry) not in known]


def _key(entry: Any) -> Any:
    return entry.get("name") or entry.get("label") if isinstance(entry, dict) else entry
