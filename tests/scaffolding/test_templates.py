"""Each template of `azemu init` and `azemu new`: the app starts, and the tests that come with it pass."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.scaffolding.catalogue import Template, app_templates, function_templates
from emulator.testing import Chaos, start_sync
from tests.folders import ANSWER, http_trigger, write_function, write_host_json
from tests.processes import environment
from tests.scaffolding.commands import azemu, written_tests
from tests.waiting import PATIENCE_SECONDS


@pytest.mark.parametrize("template", [template.name for template in app_templates()])
def test_every_new_app_passes_its_tests(tmp_path: Path, template: str) -> None:
    app = tmp_path / "the-app"
    azemu("init", app, "--template", template)
    for test in written_tests(app / "tests" / "test_function_app.py"):
        with start_sync(app) as running:
            test(running)


@pytest.mark.soak
@pytest.mark.parametrize("template", ["order", "durable", "fan-out", "approval", "saga"])
def test_new_app_passes_its_tests_under_chaos(tmp_path: Path, template: str) -> None:
    """A user who tries `pytest --azemu-chaos` with a new app does not first have to repair its tests.

    Those of other templates count what may happen twice or late, such as signals of an entity.
    """
    app = tmp_path / "the-app"
    azemu("init", app, "--template", template)
    for test in written_tests(app / "tests" / "test_function_app.py"):
        for seed in range(5):
            with start_sync(app, chaos=Chaos(seed)) as running:
                test(running)


@pytest.mark.parametrize("model", ["decorators", "folders"])
def test_every_new_function_passes_its_tests(tmp_path: Path, model: str) -> None:
    names = {template.name: f"my_{template.function}" for template in function_templates()}
    # One app for all, because their functions do not disturb each other; but a timer would run for days in some tests.
    for app, templates in (("timer", ["timer"]), ("others", [template for template in names if template != "timer"])):
        root = tmp_path / app
        if model == "decorators":
            azemu("init", root, "--template", "empty")
        else:
            write_host_json(root)
            write_function(root, "first", "def main(req): return 'first'", http_trigger(), ANSWER)
        for template in templates:
            azemu("new", template, names[template], "--app", root)
        assert (root / "function_app.py").exists() is (model == "decorators")
        with start_sync(root) as running:
            for template in templates:
                for test in written_tests(root / "tests" / f"test_{names[template]}.py"):
                    test(running)


@pytest.mark.soak
@pytest.mark.parametrize("template", app_templates(), ids=lambda template: template.name)
def test_azemu_check_finds_nothing_in_a_new_app(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], template: Template
) -> None:
    azemu("init", tmp_path, "--template", template.name)
    capsys.readouterr()
    azemu("check", "--app", tmp_path, "--json")
    codes = {finding["code"] for finding in json.loads(capsys.readouterr().out)["findings"]}
    # Functions that azemu runs by `azemu invoke` only, and connections that the user has to set.
    assert codes <= ({"AZ108", "AZ509"} if template.settings else {"AZ104"} if template.name == "empty" else set())


@pytest.mark.soak
def test_pytest_finds_the_app_of_its_tests(tmp_path: Path) -> None:
    azemu("init", tmp_path / "order-app", "--template", "order")
    azemu("new", "http", "greet", "--app", tmp_path / "order-app")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "order-app",
        env=environment({"PYTHONWARNINGS": None}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert "9 passed" in done.stdout
