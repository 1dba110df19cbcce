"""The v1 programming model: which script a folder has, how it is imported, and what is said of mistakes."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import AppLoadError
from emulator.worker.port import Datum, FunctionFailed, FunctionMetadata, RetryPolicy
from tests.folders import ANSWER, hello, http_trigger, trigger, write_function, write_host_json
from tests.running_apps import HTTP_APP, write_app
from tests.worker.apps import Loaded, http_request, new_worker, text, value_of

QUEUE_OUT = {"type": "queue", "direction": "out", "name": "message", "queueName": "q", "connection": "C"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_host_json(tmp_path / "app")


async def metadata_of(root: Path) -> dict[str, FunctionMetadata]:
    async with new_worker(root) as worker:
        return {function.name: function for function in await worker.load()}


async def answer_of(root: Path, name: str = "F") -> str:
    """Call an HTTP function once and return what it returns."""
    async with new_worker(root) as worker:
        functions = {function.name: function for function in await worker.load()}
        returned = await Loaded(worker, functions).call(name, req=http_request())
    return str(value_of(returned))


def init_beside_helper(root: Path) -> None:
    write_function(root, "F", hello())
    (root / "F" / "helper.py").write_text("")


def named_script(root: Path) -> None:
    write_function(root, "F", hello("wrong"))
    (root / "F" / "handler.py").write_text(hello())
    write_function(root, "F", None, scriptFile="handler.py")


def script_of_another_folder(root: Path) -> None:
    (root / "shared").mkdir()
    (root / "shared" / "handler.py").write_text(hello())
    write_function(root, "F", None, scriptFile="../shared/handler.py")


def script_in_the_root(root: Path) -> None:
    (root / "handlers.py").write_text("def first(req):\n    return 'hello'\n")
    write_function(root, "F", None, scriptFile="../handlers.py", entryPoint="first")


def nested_script(root: Path) -> None:
    (root / "F" / "inner").mkdir(parents=True)
    (root / "F" / "inner" / "code.py").write_text(hello())
    write_function(root, "F", None, scriptFile="inner/code.py")


def entry_point(root: Path) -> None:
    write_function(root, "F", "class Handlers: ...\ndef run(req): return 'hello'", entryPoint="run")


def comments_and_trailing_commas(root: Path) -> None:
    content = """// generated
    {"bindings": [ /* the trigger */
        {"type": "httpTrigger", "direction": "in", "name": "req"},
        {"type": "http", "direction": "out", "name": "$return"},
    ],}"""
    write_function(root, "F", hello(), text=content)


def byte_order_mark_and_crlf(root: Path) -> None:
    content = json.dumps({"bindings": [http_trigger(), ANSWER]}, indent=1).replace("\n", "\r\n")
    write_function(root, "F", hello(), text=b"\xef\xbb\xbf" + content.encode())
    (root / "F" / "__init__.py").write_bytes(b"\xef\xbb\xbfdef main(req):\r\n    return 'hello'\r\n")


def members_in_any_letter_case(root: Path) -> None:
    bindings = [
        {"Type": "httpTrigger", "Direction": "IN", "Name": "req"},
        {"TYPE": "http", "DIRECTION": "Out", "NAME": "$return"},
    ]
    write_function(
        root, "F", "def go(req): return 'hello'", text=json.dumps({"EntryPoint": "go", "Bindings": bindings})
    )


def relative_imports(root: Path) -> None:
    (root / "shared_code").mkdir()
    (root / "shared_code" / "words.py").write_text("word = 'hel'")
    write_function(
        root,
        "F",
        "from . import helper\nfrom ..shared_code.words import word\ndef main(req): return word + helper.rest",
    )
    (root / "F" / "helper.py").write_text("rest = 'lo'")


def absolute_imports(root: Path) -> None:
    (root / "shared_code").mkdir()
    (root / "shared_code" / "words.py").write_text("word = 'hel'")
    (root / "rest.py").write_text("rest = 'lo'")
    script = """
    import rest
    import shared_code.words
    from __app__.shared_code import words
    def main(req):
        from __app__.rest import rest as late
        return words.word + late if words.word == shared_code.words.word and rest.rest == late else 'wrong'
    """
    write_function(root, "F", script)


def hyphen_in_the_name(root: Path) -> None:
    write_function(root, "my-function", hello())
    write_function(root, "F", "import importlib\nmain = importlib.import_module('__app__.my-function').main")


def linked_folder(root: Path) -> None:
    write_function(root.parent, "elsewhere", hello())
    (root / "F").symlink_to(root.parent / "elsewhere", target_is_directory=True)


LAYOUTS = [
    init_beside_helper,
    named_script,
    script_of_another_folder,
    script_in_the_root,
    nested_script,
    entry_point,
    comments_and_trailing_commas,
    byte_order_mark_and_crlf,
    members_in_any_letter_case,
    relative_imports,
    absolute_imports,
    hyphen_in_the_name,
    pytest.param(linked_folder, marks=pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")),
]


@pytest.mark.parametrize("write", LAYOUTS)
async def test_a_folder_of_this_layout_is_a_function(root: Path, write: Callable[[Path], None]) -> None:
    write(root)
    assert await answer_of(root) == "hello"


@pytest.mark.parametrize(
    ("files", "script", "warns"),
    [
        (["handler.py"], "handler.py", False),
        (["run.py", "__init__.py"], "run.py", False),
        (["main.py", "__init__.py"], "__init__.py", False),
        (["main.py", "helper.py"], "main.py", True),
        (["handler.py", "sample.dat"], "handler.py", True),
    ],
)
async def test_the_script_is_found_by_its_name(
    root: Path, files: list[str], script: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    write_function(root, "F", None)
    for file in files:
        (root / "F" / file).write_text(hello(file))
    assert await answer_of(root) == script
    # On Azure these functions are in error.
    warnings = [record.message for record in caplog.records if "has no 'scriptFile'" in record.message]
    assert bool(warnings) is warns
    assert all(f'"scriptFile": "{script}"' in warning for warning in warnings)


async def test_metadata_is_that_of_function_json(root: Path) -> None:
    retry = {"strategy": "fixedDelay", "maxRetryCount": 4, "delayInterval": "00:00:10"}
    folder = write_function(root, "F", hello(), retry=retry, disabled="F_IS_OFF")
    [function] = (await metadata_of(root)).values()
    assert function.script_file == "F/__init__.py"
    assert function.directory == str(folder)
    assert function.config == json.loads((folder / "function.json").read_text())
    assert function.retry == RetryPolicy("fixed_delay", 4, delay=10)
    assert function.disabled == "F_IS_OFF"
    assert function.source == f"{folder / '__init__.py'}:1"


async def test_context_and_outputs_are_passed_as_to_a_decorated_function(root: Path) -> None:
    script = """
    import azure.functions as func
    def main(req: func.HttpRequest, message: func.Out[str], context: func.Context) -> str:
        message.set(context.function_name)
        return context.function_directory
    """
    folder = write_function(root, "F", script, http_trigger(), ANSWER, QUEUE_OUT)
    async with new_worker(root) as worker:
        await worker.load()
        returned = await Loaded(worker, {}).call("F", req=http_request())
    assert (returned.value, returned.outputs) == (Datum("string", str(folder)), {"message": Datum("string", "F")})


async def test_modules_of_two_apps_are_kept_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        root = write_host_json(tmp_path / name)
        (root / "shared.py").write_text(f"word = {name!r}")
        write_function(root, "F", "def main(req):\n    from ..shared import word\n    return word")
        assert await answer_of(root) == name
    assert not [name for name in sys.modules if name.partition(".")[0] == "__app__"]


async def test_an_app_finds_its_modules_again_after_another_was_open(tmp_path: Path) -> None:
    roots = [write_host_json(tmp_path / name) for name in ("one", "two")]
    for root in roots:
        (root / "shared.py").write_text(f"word = {root.name!r}")
        write_function(root, "F", "def main(req):\n    from ..shared import word\n    return word")
    async with new_worker(roots[0]) as first:
        await first.load()
        assert await answer_of(roots[1]) == "two"
        assert value_of(await Loaded(first, {}).call("F", req=http_request())) == "one"


NOT_LOADED: dict[str, tuple[Callable[[Path], object], str]] = {
    "import error": (
        lambda root: write_function(root, "F", "import no_such_module_anywhere"),
        "Exception: ModuleNotFoundError: No module named 'no_such_module_anywhere'. Cannot find module. Please check",
    ),
    "exception at import": (
        lambda root: write_function(root, "F", "raise KeyError('boom')"),
        "Exception: KeyError: 'boom'",
    ),
    "exit at import": (lambda root: write_function(root, "F", "import sys; sys.exit(2)"), "Exception: SystemExit: 2"),
    "syntax error": (
        lambda root: write_function(root, "F", "x = 1\ndef f(:\n"),
        "Exception: SyntaxError: invalid syntax (__init__.py, line 2)",
    ),
    "no such entry point": (
        lambda root: write_function(root, "F", "main = 5", entryPoint="start"),
        f"Exception: RuntimeError: cannot load function F: function start() is not present in {Path('F/__init__.py')}",
    ),
    "entry point that cannot be called": (
        lambda root: write_function(root, "F", "main = 5"),
        "Exception: RuntimeError: cannot load function F: function main() is not present in",
    ),
    "script of another language": (
        lambda root: write_function(root, "F", "", file="index.js", scriptFile="index.js"),
        "Exception: RuntimeError: cannot load function F: invalid Python filename",
    ),
    "script outside of the app": (
        lambda root: (
            (root.parent / "out.py").write_text(hello()),
            write_function(root, "F", None, scriptFile="../../out.py"),
        ),
        "Exception: RuntimeError: script path",
    ),
    "parameter without binding": (
        lambda root: write_function(root, "F", "def main(req, other): ..."),
        "Exception: FunctionLoadError: cannot load the F function: the following parameters are declared in Python but "
        "not in function.json: {'other'}",
    ),
    "binding without parameter": (
        lambda root: write_function(root, "F", "def main(): ..."),
        "cannot load the F function: the following parameters are declared in function.json but not in Python: {'req'}",
    ),
    "wrong annotation": (
        lambda root: write_function(root, "F", "def main(req: int): ..."),
        'type of req binding in function.json "httpTrigger" does not match its Python annotation "int"',
    ),
    "wrong annotation and data type": (
        lambda root: write_function(root, "F", "def main(req: int): ...", http_trigger(dataType="string"), ANSWER),
        '\'req\' binding type "httpTrigger" and dataType "1" in function.json do not match the corresponding function '
        'parameter\'s Python type annotation "int"',
    ),
    "inout": (
        lambda root: write_function(root, "F", "def main(req): ...", http_trigger(direction="inout"), ANSWER),
        '"inout" bindings are not supported',
    ),
}


@pytest.mark.parametrize("mistake", NOT_LOADED)
async def test_a_function_that_cannot_be_loaded_fails_every_call_and_no_other(root: Path, mistake: str) -> None:
    write, message = NOT_LOADED[mistake]
    write(root)
    write_function(root, "Good", hello())
    async with new_worker(root) as worker:
        functions = {function.name: function for function in await worker.load()}
        app = Loaded(worker, functions)
        for _ in range(2):
            with pytest.raises(FunctionFailed) as failed:
                await app.call("F", req=http_request())
            assert message in str(failed.value)
        good = await app.call("Good", req=http_request())
    assert value_of(good) == "hello"
    assert message in str(functions["F"].load_error)
    assert functions["F"].source == str(root / "F" / "function.json")


INVALID = {
    "not JSON": ('{"bindings": [\n  {"type" }\n]}', "is not valid JSON: Expecting ':' delimiter (line 2, column 11)."),
    "an array": ("[]", "must contain a JSON object with the member 'bindings'."),
    "no bindings": ('{"bindings": []}', "At least one binding must be declared."),
    "bindings of another kind": ('{"bindings": ["x"]}', "'bindings' is [\"x\"]; allowed: an array of objects."),
    "direction": (
        json.dumps({"bindings": [trigger("httpTrigger", "req") | {"direction": "into"}]}),
        "'into' is not a valid binding direction.",
    ),
    "direction of a trigger": (
        json.dumps({"bindings": [trigger("httpTrigger", "req") | {"direction": "out"}]}),
        "'direction' is \"out\"; allowed: in, because 'httpTrigger' is a trigger.",
    ),
    "data type": (
        json.dumps({"bindings": [http_trigger(dataType="bytes"), ANSWER]}),
        "'dataType' is \"bytes\"; allowed: undefined, string, binary, stream.",
    ),
    "no type": ('{"bindings": [{"name": "req"}]}', 'has no \'type\': {"name": "req"}'),
    "script": (
        json.dumps({"scriptFile": "gone.py", "bindings": [http_trigger(), ANSWER]}),
        "The 'scriptFile' property is set to a file that does not exist.",
    ),
    "script with backslashes": (
        json.dumps({"scriptFile": "..\\gone\\x.py", "bindings": [http_trigger(), ANSWER]}),
        "Write '/' between folders, which works on all systems.",
    ),
    "script of another kind": (
        json.dumps({"scriptFile": 5, "bindings": [http_trigger(), ANSWER]}),
        "'scriptFile' is 5; allowed: a text.",
    ),
    "retry": (
        json.dumps({"retry": {"strategy": "fixedDelay", "maxRetryCount": 1}, "bindings": [http_trigger(), ANSWER]}),
        "retry.delayInterval is null; allowed: a time span hh:mm:ss",
    ),
    "disabled": (
        json.dumps({"disabled": 1, "bindings": [http_trigger(), ANSWER]}),
        "'disabled' is 1; allowed: true, false, or the name of an app setting.",
    ),
}


@pytest.mark.parametrize("mistake", INVALID)
async def test_an_invalid_function_json_is_named_with_the_mistake(root: Path, mistake: str) -> None:
    content, message = INVALID[mistake]
    write_function(root, "F", hello(), text=content)
    write_function(root, "Good", hello())
    functions = await metadata_of(root)
    assert message in str(functions["F"].configuration_error)
    assert str(root / "F" / "function.json") in str(functions["F"].configuration_error)
    assert functions["Good"].configuration_error is None


async def test_a_folder_without_a_script_says_what_to_add(root: Path) -> None:
    write_function(root, "F", None)
    error = str((await metadata_of(root))["F"].configuration_error)
    assert error.startswith("Unable to determine the primary function script.")
    assert "__init__.py" in error


async def test_folders_beside_a_script_run_with_a_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_app(root, HTTP_APP + "@app.route()\ndef Decorated(req): return 'decorated'")
    write_function(root, "F", hello())
    assert await answer_of(root) == "hello"
    assert await answer_of(root, "Decorated") == "decorated"
    [warning] = {record.message for record in caplog.records if record.levelno == logging.WARNING}
    assert warning.startswith("Detected mixed function app. Some functions may not be indexed - F.")


async def test_a_folder_with_the_name_of_a_decorated_function_is_in_error(root: Path) -> None:
    write_app(root, HTTP_APP + "@app.route()\ndef F(req): return 'decorated'")
    write_function(root, "F", hello())
    assert await answer_of(root) == "decorated"
    async with new_worker(root) as worker:
        _, second = await worker.load()
    assert str(root / "F" / "function.json") in str(second.configuration_error)
    assert f"{root / 'function_app.py'}:" in str(second.configuration_error)


async def test_durable_functions_are_called_with_the_sdk(root: Path) -> None:
    script = """
    import azure.durable_functions as df
    def operation(context):
        context.set_result(context.get_state(lambda: 0) + context.get_input())
    main = df.Entity.create(operation)
    """
    write_function(root, "Counter", script, trigger("entityTrigger", "context"))
    batch: dict[str, Any] = {
        "self": {"name": "counter", "key": "k"},
        "exists": True,
        "state": "5",
        "batch": [{"name": "add", "input": '"3"', "isSignal": False}],
    }
    async with new_worker(root) as worker:
        [function] = await worker.load()
        returned = await Loaded(worker, {}).call("Counter", context=text(json.dumps(batch)))
    assert json.loads(value_of(returned))["results"][0]["result"] == "8"
    # The durable SDK wraps the function; `source` is the user's line.
    assert str(function.source).endswith(f"{Path('Counter/__init__.py')}:3")


async def test_a_script_without_an_app_keeps_the_folders_from_running(root: Path) -> None:
    write_function(root, "F", hello())
    (root / "function_app.py").write_text("")
    with pytest.raises(AppLoadError, match=r"\(F\) do not run either, because function_app\.py is there"):
        await metadata_of(root)
