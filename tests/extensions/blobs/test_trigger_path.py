"""Paths of blob triggers: mistakes in the words of the extension, and which names match which pattern."""

from __future__ import annotations

import pytest

from emulator.errors import EmulatorError
from emulator.extensions.blobs.trigger_path import parse_trigger_path
from tests.recordings.triggers import TRIGGERS

# The functions of the recording `blob_patterns`.
PATTERNS = {
    "BBytes": "c-work/{name}.{ext}",
    "BDate": "c-work/{name}-{date}.csv",
    "BBraces": "c-work/{{x}}-{name}",
    "BFolder": "c-work/in/{dir}/{file}.txt",
    "BAll": "call",
}


def test_names_match_as_recorded() -> None:
    uploaded = [step["test"].removeprefix("upload ") for step in TRIGGERS.steps("blob_patterns") if "etag" in step]
    recorded = {
        (line["function"], line["bindingData"]["BlobTrigger"]["json"]): {
            name: value["json"]
            for name, value in line["bindingData"].items()
            if name not in ("BlobTrigger", "Uri", "Properties", "Metadata")
        }
        for line in TRIGGERS.received("blob_patterns")
        if line["event"] == "start"
    }
    matched = {}
    for function, text in PATTERNS.items():
        path = parse_trigger_path(text)
        for blob in uploaded:
            container, _, name = blob.partition("/")
            captures = path.match(name) if container == path.container else None
            if captures is not None:
                matched[function, blob] = captures
    assert matched == recorded
    assert len(recorded) > 25


def test_bad_paths_have_the_recorded_messages() -> None:
    """Except for `a--b`, which ends the recorded host."""
    recorded = _recorded_errors()
    found = {}
    for text in recorded:
        try:
            parse_trigger_path(text)
        except EmulatorError as refused:
            found[text] = str(refused)
    assert recorded.pop("a--b/x") is None
    assert found.pop("a--b/x").startswith("Invalid container name: a--b. Allowed are 3 to 63 lower-case letters")
    assert set(found) == {text for text, error in recorded.items() if error is not None}
    for text, error in found.items():
        # Behind the words of the extension stands what to do.
        assert error.startswith((recorded[text] or "").rstrip()), text
    assert len(found) >= 11


def _recorded_errors() -> dict[str, str | None]:
    """Return the error of each path in the recording `blob_bad_paths`, None if it was accepted."""
    paths = [step["test"] for step in TRIGGERS.steps("blob_bad_paths") if step["test"].startswith("path ")]
    starts = TRIGGERS.log("blob_bad_paths").split("Starting JobHost")[1:]
    errors = {}
    for path, log in zip(paths, starts, strict=True):
        causes = [line.split("! ", 1)[1] for line in log.splitlines() if "! System." in line]
        errors[path.removeprefix("path ").strip("'").replace("\\\\", "\\")] = (
            causes[-1].partition(": ")[2] if causes else None
        )
    return errors


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("c-work/in/{dir}/{file}", "in/"), ("c-work/{name}", ""), ("c-work", ""), ("c-work/a.txt", "a.txt")],
)
def test_the_literal_beginning_limits_listings(text: str, prefix: str) -> None:
    assert parse_trigger_path(text).prefix == prefix
