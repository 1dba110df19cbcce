"""Files of a new app, for `azemu init`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emulator.config.hostjson import DEFAULT_CONTENT
from emulator.config.settings import FILE_NAME as SETTINGS_FILE
from emulator.config.settings import has_app
from emulator.errors import ConfigurationError
from emulator.scaffolding.catalogue import APP_FILE, Template
from emulator.scaffolding.launch_files import json_text, launch_files
from emulator.scaffolding.new_files import Written, read_text, with_lines, with_requirements, write_all
from emulator.scaffolding.new_function import DURABLE_REQUIREMENT, notes_about_durable_package

# Connections and keys of the developer, and what programs create.
_NOT_IN_GIT: Final = [
    "local.settings.json",
    ".azemu/",
    ".azurite/",
    ".venv/",
    "venv/",
    "__pycache__/",
    "*.pyc",
    ".pytest_cache/",
    ".python_packages/",
]
_NOT_DEPLOYED: Final = [
    "local.settings.json",
    ".azemu/",
    ".azurite/",
    ".venv/",
    "venv/",
    "__pycache__/",
    ".pytest_cache/",
    ".git*",
    ".vscode/",
    "tests/",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApp:
    """An app to create. `workspace`: the folder that is opened in VS Code. `force`: overwrite existing files."""

    folder: Path
    template: Template
    workspace: Path
    force: bool = False


def create_app(new: NewApp) -> Written:
    """Write the files of a new app. Raises ConfigurationError; then no file has changed.

    Existing files of the app are an error without `force`; lines are added to .gitignore, .funcignore and
    requirements.txt, and launch files of the workspace are left alone.
    """
    folder = new.folder
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"'{folder}' is a file. Name a folder for the new app.")
    if not folder.is_relative_to(new.workspace):
        raise ConfigurationError(f"--workspace: '{folder}' is not in the folder '{new.workspace}'.")
    texts = _own_files(new)
    # All files are checked before the first one is written.
    existing = [name for name in texts if (folder / name).exists()]
    if (has_app(folder) or existing) and not new.force:
        problem = "already contains an app" if has_app(folder) else "already has files of the same names"
        files = f" ({', '.join(existing)})" if existing else ""
        raise ConfigurationError(
            f"'{folder}' {problem}{files}. Nothing was written. Choose another folder, add a function with `azemu "
            "new`, or write the files nevertheless with --force."
        )
    contents = {folder / name: text.encode() for name, text in texts.items()}
    # Lists, which a repository may have already. Their order does not matter, so lines can be added.
    for name, lines in ((".gitignore", _NOT_IN_GIT), (".funcignore", _NOT_DEPLOYED)):
        contents[folder / name] = with_lines(read_text(folder / name), lines).encode()
    needed = ["azure-functions", *([DURABLE_REQUIREMENT] if new.template.is_durable else [])]
    requirements = folder / "requirements.txt"
    contents[requirements] = with_requirements(read_text(requirements), needed).encode()
    launch = launch_files(folder, new.workspace)
    created, changed = write_all(contents | dict(launch.contents))
    notes = notes_about_durable_package() if new.template.is_durable else []
    if above := next((parent for parent in folder.parents if (parent / "host.json").is_file()), None):
        notes.append(f"'{above}' is an app, too. Its deployment would contain the new one: add it to its .funcignore.")
    return Written(created=created, changed=changed, notes=tuple(notes), snippets=launch.snippets)


def _own_files(new: NewApp) -> Mapping[str, str]:
    """Return the files that belong to the app alone, by their path in its folder."""
    template = new.template
    host: dict[str, Any] = {
        "version": DEFAULT_CONTENT["version"],
        # As Core Tools writes it: Application Insights gets samples, but every request.
        "logging": {"applicationInsights": {"samplingSettings": {"isEnabled": True, "excludedTypes": "Request"}}},
        # Needed by all triggers but HTTP and timer, and by Durable Functions.
        "extensionBundle": DEFAULT_CONTENT["extensionBundle"],
    }
    if template.is_durable:
        # Apps that share a storage account, as all that use Azurite do, must not share a task hub.
        host["extensions"] = {"durableTask": {"hubName": _hub_name(new.folder.name)}}
    settings = {
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
        **dict.fromkeys(template.settings, ""),
    }
    return {
        APP_FILE: template.app_text(),
        "host.json": json_text(host),
        SETTINGS_FILE: json_text({"IsEncrypted": False, "Values": settings}),
        f"tests/test_{APP_FILE}": template.test_text(),
    }


def _hub_name(folder: str) -> str:
    """Return a name of a task hub that is made of the name of the folder: "order-app" → "OrderApp"."""
    # A hub's name begins with a letter and has 3 to 45 letters and digits.
    words = re.findall(r"[A-Za-z0-9]+", folder)
    name = re.sub(r"^[0-9]+", "", "".join(word[0].upper() + word[1:] for word in words))[:45]
    return name if len(name) >= 3 else f"{name}TaskHub"
