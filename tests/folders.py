"""Apps of the v1 programming model for tests: folders with a function.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.sdk_releases import skip_unless_supported

ANSWER: dict[str, Any] = {"type": "http", "direction": "out", "name": "$return"}


def http_trigger(name: str = "req", **members: Any) -> dict[str, Any]:
    """Return an anonymous HTTP trigger of function.json."""
    return {"type": "httpTrigger", "direction": "in", "name": name, "authLevel": "anonymous", **members}


def trigger(binding_type: str, name: str, **members: Any) -> dict[str, Any]:
    """Return an input binding of function.json."""
    return {"type": binding_type, "direction": "in", "name": name, **members}


def hello(text: str = "hello") -> str:
    """Return the script of an HTTP function that answers with `text`."""
    return f"def main(req):\n    return {text!r}\n"


def write_function(
    root: Path,
    name: str,
    script: str | None,
    *bindings: Mapping[str, Any],
    file: str = "__init__.py",
    text: str | bytes | None = None,
    **members: Any,
) -> Path:
    """Write a function folder below the app's folder and return it.

    `script`: the text of `file`; None: there is none. `bindings`: an HTTP trigger and its response if there are none.
    `members`: further ones of function.json. `text`: the whole function.json instead.
    """
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    if script is not None:
        skip_unless_supported(dedent(script))
        (folder / file).write_text(dedent(script), encoding="utf-8")
    if text is None:
        text = json.dumps({**members, "bindings": bindings or (http_trigger(), ANSWER)})
    (folder / "function.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def write_host_json(root: Path) -> Path:
    """Write the host.json of an app without a function_app.py."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "host.json").write_text('{"version": "2.0"}', encoding="utf-8")
    return root
