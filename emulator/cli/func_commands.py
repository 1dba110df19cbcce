"""Commands of Azure Functions Core Tools that azemu lacks, and what to use instead."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_DEPLOY: Final = (
    "azemu runs apps on this machine and does not deploy them. Deploy with `func azure functionapp publish NAME`, "
    "`az functionapp deployment source config-zip` or VS Code."
)
_SETTINGS: Final = 'azemu has no command for settings: edit "Values" in local.settings.json, which is plain JSON.'
_EXTENSIONS: Final = (
    "azemu needs no extension bundle and no .NET extensions: the triggers and bindings that it runs are part of it "
    "(docs/compatibility.md)."
)

_ADVICE: Final = {
    ("azure", "functionapp", "publish"): _DEPLOY,
    ("azure", "functionapp", "logstream"): (
        "azemu does not connect to Azure. Use `func azure functionapp logstream NAME` or `az webapp log tail`. "
        "`azemu logs --follow` shows the log of the host on this machine."
    ),
    ("azure", "functionapp", "fetch-app-settings"): (
        "azemu does not connect to Azure. Use `az functionapp config appsettings list` and copy the values into "
        "local.settings.json."
    ),
    ("azure", "storage", "fetch-connection-string"): (
        "azemu does not connect to Azure. Use `az storage account show-connection-string` and copy the value into "
        "local.settings.json."
    ),
    ("azure",): _DEPLOY,
    ("azurecontainerapps",): "azemu does not deploy. Use `az containerapp` or `func azurecontainerapps deploy`.",
    ("kubernetes",): "azemu does not deploy to Kubernetes. Use `func kubernetes deploy`, or kubectl with KEDA.",
    ("pack",): "azemu makes no deployment packages. Use `func pack`, or zip the folder of the app without .venv.",
    ("publish",): _DEPLOY,
    ("deploy",): _DEPLOY,
    ("extensions",): _EXTENSIONS,
    ("bundles",): _EXTENSIONS,
    ("settings", "encrypt"): (
        "azemu keeps local.settings.json as plain JSON. Leave the file out of version control; `func settings decrypt` "
        "decrypts an encrypted one."
    ),
    ("settings", "decrypt"): (
        "azemu cannot decrypt local.settings.json: the key is Core Tools' own. Use `func settings decrypt` once."
    ),
    ("settings",): _SETTINGS,
    ("run",): "Use `azemu invoke NAME DATA`, which runs one function of the running host.",
    ("function", "run"): "Use `azemu invoke NAME DATA`, which runs one function of the running host.",
    ("function", "new"): "Use `azemu new`.",
    ("function", "create"): "Use `azemu new`.",
    ("function",): "Use `azemu invoke NAME DATA` to run a function, and `azemu new` to add one.",
    ("functionapp",): _DEPLOY,
    ("create",): "Use `azemu new`.",
    ("templates", "list"): "Use `azemu new --help`, which lists the templates.",
    ("templates",): "Use `azemu new --help`, which lists the templates.",
    ("config",): _SETTINGS,
}


def advice_for(words: Sequence[str], program: Path) -> tuple[str, str] | None:
    """Return a command of Core Tools that azemu lacks, and what to use instead; None if the words are none.

    `program`: as which azemu was called.
    """
    for length in (3, 2, 1):
        if (advice := _ADVICE.get(tuple(words[:length]))) is not None:
            return " ".join(words[:length]), f"{advice}{_about_shim(advice, program)}"
    return None


def _about_shim(advice: str, program: Path) -> str:
    """Return how to call the `func` of Core Tools, which the advice names, if the `func` that was called is azemu's."""
    # Only here, because every command imports this module.
    import shutil

    from emulator.scaffolding.shim import is_shim

    # azemu's command may hide that of Core Tools, and the advice would lead to azemu again.
    found = shutil.which("func")
    is_hidden = found is not None and is_shim(Path(found))
    if "`func " not in advice or not (is_called_as_func(program) or is_hidden):
        return ""
    folder = program.absolute().parent if found is None else Path(found).parent
    others = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry and Path(entry) != folder]
    real = shutil.which("func", path=os.pathsep.join(others))
    where = f"`{real}`" if real else "`npx azure-functions-core-tools@4` instead of `func`"
    return f" The command `func` in {folder} is azemu's own (azemu shim): use {where}, or `azemu shim --remove` first."


def is_called_as_func(program: Path) -> bool:
    """Return whether azemu was called through the command `func` that `azemu shim` installs."""
    return program.stem.lower() == "func"
