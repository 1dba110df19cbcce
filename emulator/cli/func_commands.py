"""Commands of Azure Functions Core Tools that azemu lacks, and what to use instead."""

from __future__ import annotations

from collections.abc import Sequence
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


def advice_for(words: Sequence[str]) -> tuple[str, str] | None:
    """Return a command of Core Tools that azemu lacks, and what to use instead; None if the words are none."""
    for length in (3, 2, 1):
        if (advice := _ADVICE.get(tuple(words[:length]))) is not None:
            return " ".join(words[:length]), advice
    return None
