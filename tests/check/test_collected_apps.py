"""The samples have no findings, and each app of tests/apps has those of its file `expected-check.txt`.

Without that file it has none. The file has a line for each finding: `file:line CODE`.
"""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from emulator.check.checking import CheckOptions, Report, check_app
from tests.check.apps import TODAY, report_of
from tests.running_apps import copy_app
from tests.test_apps import APPS, NAMES, is_installed, prepared

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(path.parent for path in (ROOT / "samples").glob("*/host.json"))
ENVIRON: dict[str, str] = {}


@pytest.mark.parametrize("sample", [*SAMPLES, ROOT], ids=lambda path: path.name)
async def test_samples_have_no_findings(sample: Path, tmp_path: Path) -> None:
    if sample == ROOT:
        copied = tmp_path / "app"
        copied.mkdir()
        for name in ("function_app.py", "host.json", "local.settings.json", "requirements.txt", ".funcignore"):
            (copied / name).write_bytes((ROOT / name).read_bytes())
    else:
        copied = copy_app(sample, tmp_path / sample.name)
    for load in (True, False):
        report = await check_app(CheckOptions(app=copied, load=load), ENVIRON, TODAY)
        assert report.findings == []
        assert report.functions > 0 or not load


@pytest.mark.parametrize("name", NAMES)
def test_apps_have_exactly_the_findings_beside_them(name: str, tmp_path: Path) -> None:
    expected = json.loads((APPS / name / "expected.json").read_text(encoding="utf-8"))
    for module in expected.get("needs", ()):
        if not is_installed(module):
            pytest.skip(f"{module} is not installed")
    file = APPS / name / "expected-check.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    app = prepared(name, expected, tmp_path)
    (app / "expected-check.txt").unlink(missing_ok=True)
    # The check imports the app, and what some apps replace or switch off would stay so for all tests after this one.
    report = report_of_a_process(app) if expected.get("process") else report_of(app, load=True)
    assert [f"{each.file}:{each.line} {each.code}" for each in report.findings] == lines, report.findings


def report_of_a_process(app: Path) -> Report:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(report_of, app, load=True).result()
