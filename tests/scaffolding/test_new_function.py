"""`azemu new`: what it changes in files of users, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest

from emulator.cli.command import main
from emulator.testing import start_sync
from tests.folders import ANSWER, http_trigger, write_function
from tests.running_apps import write_app
from tests.scaffolding.commands import azemu, refused, written_tests

HTTP_FUNCTION = '''

@{app}.route(route="greet", methods=["GET", "POST"], auth_level=func.AuthLevel.FUNCTION)
def greet(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with'''


def app_with(folder: Path, script: str) -> Path:
    return write_app(folder / "app", script)


def passes_its_test(app: Path, name: str) -> None:
    with start_sync(app) as running:
        for test in written_tests(app / "tests" / f"test_{name}.py"):
            test(running)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            """\
            # Licence
            '''Our app.'''

            import azure.functions as func  # the library

            application   =   func.FunctionApp()   # ours
            # the end
            """,
            """\
            # Licence
            '''Our app.'''

            import logging

            import azure.functions as func  # the library

            application   =   func.FunctionApp()   # ours
            # the end
            """,
            id="user's text is kept",
        ),
        pytest.param(
            "import json\nimport os\n\nfrom azure.functions import FunctionApp\n\napplication = FunctionApp()\n",
            "import json\nimport logging\nimport os\n\nimport azure.functions as func\n"
            "from azure.functions import FunctionApp\n\napplication = FunctionApp()\n",
            id="imports in their order",
        ),
        pytest.param(
            "import azure.functions as func, logging\napplication: func.FunctionApp = func.FunctionApp()",
            "import azure.functions as func, logging\napplication: func.FunctionApp = func.FunctionApp()\n",
            id="no line end at the end",
        ),
        pytest.param(
            "from azure import functions as func\n\nfrom logging import INFO\n\napplication = func.FunctionApp()\n",
            "import logging\n\nfrom azure import functions as func\n\nfrom logging import INFO\n\n"
            "application = func.FunctionApp()\n",
            id="same import in another form",
        ),
    ],
)
def test_function_is_appended_and_only_missing_imports_are_added(tmp_path: Path, before: str, after: str) -> None:
    app = app_with(tmp_path, before)
    azemu("new", "http", "greet", "--app", app)
    text = (app / "function_app.py").read_text()
    expected = dedent(after) + HTTP_FUNCTION.format(app="application")
    assert text.startswith(expected), text
    passes_its_test(app, "greet")


def test_line_ends_byte_order_mark_and_mode_of_the_file_are_kept(tmp_path: Path) -> None:
    app = app_with(tmp_path, "")
    script = app / "function_app.py"
    script.write_bytes(b"\xef\xbb\xbfimport azure.functions as func\r\n\r\napp = func.FunctionApp()\r\n")
    script.chmod(0o640)
    azemu("new", "http", "greet", "--app", app)
    content = script.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfimport logging\r\n\r\nimport azure.functions as func\r\n")
    assert content.count(b"\r\n") == content.count(b"\n")
    assert script.stat().st_mode & 0o777 in (0o640, 0o666)  # Windows has no other modes.
    passes_its_test(app, "greet")


@pytest.mark.parametrize(
    ("before", "made"),
    [
        ("import azure.functions as func\n\napp = func.FunctionApp()\n", "app = df.DFApp()"),
        (
            "import azure.functions as func\n\napp = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)\n",
            "app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)",
        ),
        (
            "import azure.durable_functions as durable\nimport azure.functions as func\n\napp = func.FunctionApp()\n",
            "app = durable.DFApp()",
        ),
        ("import azure.durable_functions as df\n\nmain = df.DFApp()\n", "main = df.DFApp()"),
    ],
)
def test_app_becomes_a_durable_one_for_a_durable_function(tmp_path: Path, before: str, made: str) -> None:
    app = app_with(tmp_path, before)
    azemu("new", "durable", "hails", "--app", app)
    assert made in (app / "function_app.py").read_text().splitlines()
    assert "azure-functions-durable>=1.7.0,<2" in (app / "requirements.txt").read_text().splitlines()
    passes_its_test(app, "hails")


@pytest.mark.parametrize(
    "before",
    [
        "import azure.functions as func\n\ndef make():\n    return func.FunctionApp()\n\napp = make()\n"
        "\n@app.timer_trigger(arg_name='t', schedule='0 0 0 1 1 *')\ndef tick(t):\n    pass\n",
        "import os\nimport azure.functions as func\n\napp = func.FunctionApp()\nif os.environ.get('NO_SUCH'):\n"
        "    app = func.FunctionApp(http_auth_level='anonymous')\n",
    ],
)
def test_app_that_is_made_in_an_unusual_way_gets_a_durable_blueprint(tmp_path: Path, before: str) -> None:
    app = app_with(tmp_path, before)
    azemu("new", "durable", "hails", "--app", app)
    script = (app / "function_app.py").read_text()
    assert script.startswith(before.split("import azure", maxsplit=1)[0])
    assert script.endswith("\napp.register_functions(hails_functions.bp)\n")
    assert "bp = df.Blueprint()" in (app / "hails_functions.py").read_text()
    passes_its_test(app, "hails")


def test_new_file_becomes_a_registered_blueprint_and_then_gets_more_functions(tmp_path: Path) -> None:
    app = app_with(tmp_path, "import azure.functions as func\n\napp = func.FunctionApp()\n")
    azemu("new", "http", "greet", "--file", "parts/web.py", "--app", app)
    azemu("new", "durable", "hails", "--file", "parts/web.py", "--app", app)
    assert (app / "function_app.py").read_text() == (
        "import azure.functions as func\n\nfrom parts import web\n\napp = func.FunctionApp()\n\n"
        "app.register_functions(web.bp)\n"
    )
    blueprint = (app / "parts" / "web.py").read_text()
    assert "\nbp = df.Blueprint()\n" in blueprint
    assert blueprint.count("Blueprint()") == 1
    for name in ("greet", "hails"):
        passes_its_test(app, name)


def test_folder_without_a_script_gets_one(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    azemu("new", "queue", "work", "--app", tmp_path)
    passes_its_test(tmp_path, "work")


def test_names_of_methods_and_helpers_are_free(tmp_path: Path) -> None:
    helpers = (
        "import functools\n\n@functools.cache\ndef hails(): ...\n\nclass Box:\n    @property\n    def greet(self): ..."
    )
    app = write_app(tmp_path / "app", "import azure.functions as func\n\napp = func.FunctionApp()\n", helpers=helpers)
    azemu("new", "http", "greet", "--app", app)
    azemu("new", "durable", "hails", "--app", app)


def test_spellings_of_core_tools_are_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = app_with(tmp_path, "import azure.functions as func\n\napp = func.FunctionApp()\n")
    azemu("new", "--template", "HTTP trigger", "--name", "greet", "--authlevel", "Anonymous", "--script-root", app)
    out = capsys.readouterr().out
    assert 'The function "greet" was created successfully from the "HTTP trigger" template.\n' in out
    assert "auth_level=func.AuthLevel.ANONYMOUS" in (app / "function_app.py").read_text()
    for number, template in enumerate(["Azure Queue Storage trigger", "timertrigger", "Durable Functions entity"]):
        azemu("new", "-t", template, "-n", f"f{number}", "-l", "python", "--app", app)


def test_function_of_an_app_with_folders_becomes_folders(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    write_function(tmp_path, "first", "def main(req): return 'first'", http_trigger(), ANSWER)
    azemu("new", "table", "note", "--authlevel", "anonymous", "--app", tmp_path)
    assert sorted(path.parent.name for path in tmp_path.glob("*/function.json")) == ["first", "note_add", "note_list"]
    declaration = json.loads((tmp_path / "note_add" / "function.json").read_text())
    assert declaration["bindings"][0]["authLevel"] == "anonymous"
    assert not (tmp_path / "function_app.py").exists()


def test_result_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = app_with(tmp_path, "import azure.functions as func\n\napp = func.FunctionApp()\n")
    azemu("new", "servicebus-queue", "receive", "--no-test", "--json", "--app", app)
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "version": 1,
        "created": [],
        "changed": [str(app / "function_app.py")],
        "functions": ["receive"],
        "snippets": {},
        "notes": [
            'Add the connection to the "Values" of local.settings.json, and to the app in Azure: ServiceBusConnection.'
        ],
        "folder": str(app),
        "template": "servicebus-queue",
    }


APP = """
import azure.functions as func
import blueprint

app = func.FunctionApp()


def helper():
    pass


@app.route()
def hello(req):
    pass


@app.function_name("other_name")
@app.route()
def f(req):
    pass
"""
BLUEPRINT = """
import azure.functions as func

bp = func.Blueprint()


@bp.route()
def in_blueprint(req):
    pass
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("http", "hello"), "already has a function 'hello', in 'function_app.py'"),
        (("http", "HELLO"), "already has a function 'hello', in 'function_app.py'"),
        (("http", "other_name"), "already has a function 'other_name', in 'function_app.py'"),
        (("http", "in_blueprint"), "already has a function 'in_blueprint', in 'blueprint.py'"),
        (("http", "helper"), "already uses the name helper. Choose another name"),
        (("http", "my-function"), "'my-function' cannot be the name of a function.*such as 'my_function'"),
        (("http", "class"), "'class' cannot be the name of a function"),
        (("queue", "print"), "'print' cannot be .* it would hide Python's own print in the file.*'handle_print'"),
        (("queue", "logging"), "'logging' cannot be .* it would hide the module logging in the file"),
        (("http", "func"), "'func' cannot be .* it would hide the module func in the file"),
        (("http", "größe"), "'größe' cannot be the name of a function"),
        (("http", "_x"), "'_x' cannot be the name of a function.*such as 'x'"),
        (("htpp", "x"), "no template 'htpp'. Did you mean 'http'[?]"),
        (("order", "x"), "no template 'order'"),
        (("timer", "x", "--authlevel", "admin"), "'timer' has none"),
        (("http", "x", "--file", "x.txt"), "x.txt' is not a Python file"),
        (("http", "x", "--file", "../x.py"), "'../x.py' is not in the folder of the app"),
        (("http", "x", "--file", "my-part.py"), "'my-part.py' cannot be imported"),
        (("http", "x", "--file", "no_app.py"), "no_app.py' has no app object"),
        (("http", "x", "--file", "broken.py"), "broken.py', line 2: .*Correct the file"),
        (("http", "x", "--file", "taken.py"), "uses the name 'func' for something else"),
    ],
)
def test_what_cannot_be_added_changes_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    app = write_app(
        tmp_path,
        APP,
        blueprint=BLUEPRINT,
        no_app="number = 1\n",
        broken="x = 1\ny = (\n",
        taken="from azure.functions import Blueprint\nbp = Blueprint()\nfunc = len\n",
    )
    before = {path: path.read_bytes() for path in app.rglob("*") if path.is_file()}
    assert re.search(message, refused(capsys, "new", *words, "--app", app))
    assert {path: path.read_bytes() for path in app.rglob("*") if path.is_file()} == before


def test_no_file_changes_if_one_of_them_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write_app(tmp_path, APP, blueprint=BLUEPRINT)
    # Where the folder of the test would be.
    (app / "tests").write_text("not a folder")
    before = {path: path.read_bytes() for path in app.rglob("*") if path.is_file()}
    message = refused(capsys, "new", "http", "greet", "--app", app)
    assert re.match(r"'.*test_greet.py' cannot be written: ", message)
    assert {path: path.read_bytes() for path in app.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "the template and the name of the new function are missing"),
        (("http",), "the name of the new function is missing. Write them as in `azemu new http greet`"),
        (("HTTP", "trigger", "greet"), "names with spaces in quotation marks"),
        (("http", "x", "--authlevel", "public"), "Use one of: anonymous, function, admin."),
        (("http", "x", "--language", "C#"), "azemu runs apps in Python only"),
    ],
)
def test_wrong_command_line(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str) -> None:
    assert main(["new", *words]) == 2
    assert message in capsys.readouterr().err
