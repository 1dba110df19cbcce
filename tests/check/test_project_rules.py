"""Rules about configuration, packages, deployed files, and the loading of the app.

A comment `finds AZ…` marks the lines that have findings, where the file may have comments.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from emulator.check.azure_offers import PYTHON_VERSIONS
from emulator.check.checking import CheckOptions, check_app
from emulator.check.deployment import deployed_files
from emulator.check.findings import Finding
from emulator.check.ignored import IgnoreFile
from emulator.check.requirements import python_findings
from tests.check.apps import COMPLETE, HEADER, found_in, marks_of, places_of, write_app

PLAIN = """import azure.functions as func

app = func.FunctionApp()


@app.route(route="a")
def a(req):
    return ""
"""
QUEUE = """

@app.queue_trigger(arg_name="message", queue_name="orders", connection="AzureWebJobsStorage")
def b(message):
    pass
"""
STORAGE_KEY = "AccountKey=" + "Ab1+" * 21 + "Ab=="
CONNECTION = f"DefaultEndpointsProtocol=https;AccountName=shop;{STORAGE_KEY};EndpointSuffix=core.windows.net"
AZURITE = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6"
    "IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;"
)


def check(tmp_path: Path, files: Mapping[str, str], *, load: bool = False) -> list[Finding]:
    return found_in(write_app(tmp_path, {**COMPLETE, "function_app.py": PLAIN, **files}), load=load)


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


BLOB = """

@app.blob_trigger(arg_name="blob", path="images/{name}", connection="AzureWebJobsStorage")
def polled(blob):
    pass

@app.blob_trigger(arg_name="blob", path="a/b", connection="AzureWebJobsStorage", source="EventGrid")
def named(blob):
    pass

@app.blob_trigger(arg_name="blob", path="a/c", connection="AzureWebJobsStorage", source=func.BlobSource.EVENT_GRID)
def constant(blob):
    pass
"""


@pytest.mark.parametrize(
    ("plan", "timeout", "version", "expected"),
    [
        ("flex", "02:00:00", (3, 14), ["AZ511"]),
        ("consumption", "00:10:01", (3, 12), ["AZ513", "AZ510", "AZ512"]),
        ("consumption", "-1", (3, 13), ["AZ513", "AZ510", "AZ512", "AZ606"]),
        ("consumption", "00:10:00", (3, 11), ["AZ513", "AZ512"]),
        ("consumption", None, (3, 11), ["AZ513", "AZ512"]),
        ("premium", "-1", (3, 14), []),
        (None, "-1", (3, 14), []),
    ],
)
def test_what_a_plan_does_not_have(
    plan: str | None,
    timeout: str | None,
    version: tuple[int, int],
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = json.loads(COMPLETE["host.json"]) | ({} if timeout is None else {"functionTimeout": timeout})
    values = {"FUNCTIONS_WORKER_RUNTIME": "python", "AzureWebJobsStorage": "x", "WEBSITE_TIME_ZONE": "Asia/Tokyo"}
    files = {
        **COMPLETE,
        "host.json": json.dumps(host, indent=1),
        "local.settings.json": json.dumps({"IsEncrypted": False, "Values": values}),
        "function_app.py": PLAIN + BLOB,
    }
    monkeypatch.setattr("emulator.check.checking.sys.version_info", (*version, 0))
    options = CheckOptions(app=write_app(tmp_path, files), load=False, plan=plan)
    report = asyncio.run(check_app(options, {}, date(2026, 11, 30)))
    assert [each.code for each in report.findings] == expected
    for each in report.findings:
        if each.code == "AZ511":
            line = (PLAIN + BLOB).split("@app.blob_trigger")[0].count("\n") + 1
            assert (each.file, each.line) == ("function_app.py", line)


# host.json and local.settings.json -------------------------------------------------------------------------------


HOST_JSON = {
    "typing mistakes": """{
  "version": "2.0",
  "functionTimeOut": "00:05:00",
  "extensions": {
    "durableTask": {
      "maxConcurrentActivityFunctoins": 5, // finds AZ502
      "hubName": "Orders"
    },
    "http": {"routePrefx": "x"} // finds AZ502
  },
  "durableTask": {"hubName": "x"} // finds AZ502
}
""",
    "wrong value": """{
  "version": "2.0",
  "functionTimeout": "soon" // finds AZ501
}
""",
    "wrong value of an extension": """{
  "version": "2.0",
  "extensions": {
    "durableTask": {
      "maxConcurrentActivityFunctions": "many" // finds AZ501
    }
  }
}
""",
    "not JSON": """{
  "version": "2.0"
  "functionTimeout": "00:05:00" // finds AZ501
}
""",
    "another storage provider": """{
  "version": "2.0",
  "extensions": {
    "durableTask": {
      "storageProvider": {
        "type": "azureManaged" // finds AZ109
      }
    }
  }
}
""",
}


@pytest.mark.parametrize("name", HOST_JSON)
def test_host_json(name: str, tmp_path: Path) -> None:
    files = {"host.json": HOST_JSON[name]}
    found = check(tmp_path, files)
    assert places_of(found) == marks_of(files), found
    assert not any(str(tmp_path) in finding.message for finding in found)


def test_missing_host_json_is_not_created(tmp_path: Path) -> None:
    folder = write_app(tmp_path, {"function_app.py": PLAIN})
    assert codes(found_in(folder)) == ["AZ503"]
    assert not (folder / "host.json").exists()


@pytest.mark.parametrize(
    ("bundle", "expected"),
    [
        (None, ["AZ507"]),
        ("[4.*, 5.0.0)", []),
        ("[3.3.0, 5.0.0)", []),
        ("[4.*,5.0.0)", []),
        ("[2.*, 3.0.0)", ["AZ508"]),
        ("[3.15.0, 4.0.0)", ["AZ508"]),
        ("[1.*, 2.0.0)", ["AZ508"]),
    ],
)
def test_extension_bundle(bundle: str | None, expected: list[str], tmp_path: Path) -> None:
    section = "" if bundle is None else f', "extensionBundle": {{"id": "X", "version": "{bundle}"}}'
    files = {"host.json": f'{{"version": "2.0"{section}}}', "function_app.py": PLAIN + QUEUE}
    assert codes(check(tmp_path, files)) == expected
    assert codes(check(tmp_path, files, load=True)) == expected


def test_http_and_timers_need_no_bundle(tmp_path: Path) -> None:
    timer = '\n\n@app.timer_trigger(arg_name="t", schedule="0 0 0 * * *")\ndef b(t):\n    pass\n'
    files = {"host.json": '{"version": "2.0"}', "function_app.py": PLAIN + timer}
    assert codes(check(tmp_path, files)) == codes(check(tmp_path, files, load=True)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"IsEncrypted": false, "Values": {"FUNCTIONS_WORKER_RUNTIME": "python"}}', []),
        ('{"IsEncrypted": false, "Values": {"FUNCTIONS_WORKER_RUNTIME": "node"}}', ["AZ506"]),
        ('{"IsEncrypted": false, "Values": {"A": "1"}}', ["AZ505"]),
        ('{"IsEncrypted": false, "Value": {"FUNCTIONS_WORKER_RUNTIME": "python"}}', ["AZ502"]),
        ('{"IsEncrypted": false, "values": {}, "Host": {"LocalHttPort": 7072, "Other": 1}}', ["AZ502"]),
        ('{"IsEncrypted": true, "Values": {"FUNCTIONS_WORKER_RUNTIME": "python"}}', ["AZ504"]),
        ('{"Values": ', ["AZ504"]),
    ],
)
def test_local_settings(text: str, expected: list[str], tmp_path: Path) -> None:
    assert codes(check(tmp_path, {"local.settings.json": text})) == expected


def test_settings_without_a_value(tmp_path: Path) -> None:
    source = PLAIN + (
        '\n\n@app.queue_trigger(arg_name="m", queue_name="%Queue%", connection="Orders")  # finds AZ509\n'
        "def b(m):\n    pass\n"
    )
    files = {"function_app.py": f'import os\n{source}\nX = os.environ["TOKEN"]  # finds AZ509\n'}
    # In a checkout there is no local.settings.json, and nothing is known about the settings.
    assert check(tmp_path, files) == []
    timer = '\n\n@app.timer_trigger(arg_name="t", schedule="%Schedule%")\ndef c(t): ...\n'
    blob = (
        '\n\n@app.blob_trigger(arg_name="b", path="in-files/{name}", connection="AzureWebJobsStorage")\ndef d(b): ...\n'
    )
    assert check(tmp_path, {"function_app.py": source + timer + blob}, load=True) == []
    files["local.settings.json"] = '{"IsEncrypted": false, "Values": {"FUNCTIONS_WORKER_RUNTIME": "python"}}'
    found = check(tmp_path, files)
    assert places_of(found) == marks_of(files)
    assert {finding.message.split("'")[1] for finding in found} == {"Queue", "Orders", "TOKEN"}


def test_built_in_store_is_not_created(tmp_path: Path) -> None:
    values = '{"FUNCTIONS_WORKER_RUNTIME": "python", "AzureWebJobsStorage": "builtin:store.db"}'
    files = {"local.settings.json": f'{{"IsEncrypted": false, "Values": {values}}}', "function_app.py": PLAIN + QUEUE}
    assert check(tmp_path, files, load=True) == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".db" or path.name == ".azemu") == []


# Packages --------------------------------------------------------------------------------------------------------


def test_requirements(tmp_path: Path) -> None:
    files = {
        "requirements.txt": """# of the app
azure-functions>=1.20
azure_functions_worker==1.2  # finds AZ604
azemu  # finds AZ604
aiohttp[speedups]>=3; python_version > "3"
""",
        "function_app.py": "import aiohttp\nimport multidict\nimport helpers\n" + PLAIN,
        "helpers.py": "import azure.storage.blob  # finds AZ603\nfrom azure import identity  # finds AZ603\n"
        "import json\n\ntry:\n    import numpy\nexcept ImportError:\n    pass\n",
    }
    # aiohttp needs multidict, so it is installed, too.
    found = check(tmp_path, files)
    assert places_of(found) == marks_of(files), found


def test_local_requirements(tmp_path: Path) -> None:
    files = {
        "requirements.txt": """-e .  # finds AZ605
./lib/helpers  # finds AZ605
shop @ file:///home/me/shop  # finds AZ605
shop @ git+https://github.com/example/shop
--extra-index-url https://example.com/simple
""",
        # What these install is not known.
        "function_app.py": "import requests\n" + PLAIN,
    }
    assert places_of(check(tmp_path, files)) == marks_of(files)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"function_app.py": "import requests\n" + PLAIN}, ["AZ602"]),
        ({"function_app.py": "import requests\n" + PLAIN, "pyproject.toml": ""}, []),
        ({"function_app.py": "import requests\n" + PLAIN, "requirements.txt": "-r other.txt\n"}, []),
        ({"function_app.py": "import requests\n" + PLAIN, "requests.py": ""}, []),
        ({"function_app.py": "import requests\n" + PLAIN, "requirements.txt": "azure-functions\n"}, ["AZ603"]),
        # A package that is not installed here may need any other.
        ({"function_app.py": "import requests\n" + PLAIN, "requirements.txt": "no-such-package-here\n"}, []),
        # The platform has azure-functions, and Python the rest.
        ({"function_app.py": "import json\n" + PLAIN}, []),
    ],
)
def test_missing_requirements(files: Mapping[str, str], expected: list[str], tmp_path: Path) -> None:
    found = found_in(write_app(tmp_path, {"host.json": COMPLETE["host.json"], "function_app.py": PLAIN, **files}))
    assert codes(found) == expected


def test_python_versions() -> None:
    newest = max(PYTHON_VERSIONS)
    assert [finding.code for finding in python_findings((3, 9), date(2026, 11, 30))] == ["AZ601"]
    assert [finding.code for finding in python_findings((3, 10), date(2026, 11, 30))] == ["AZ601"]
    assert [*python_findings((3, 10), date(2026, 10, 1))] == []
    assert [*python_findings((3, 12), date(2026, 11, 30))] == []
    assert [finding.code for finding in python_findings((3, newest[1] + 1), date(2026, 11, 30))] == ["AZ601"]


# Deployment ------------------------------------------------------------------------------------------------------


def test_secrets_in_deployed_files(tmp_path: Path) -> None:
    files = {
        "function_app.py": PLAIN + f'\nCONNECTION = "{CONNECTION}"  # finds AZ701\nLOCAL = "{AZURITE}"\n',
        "config/app.yaml": f"storage: {CONNECTION} # finds AZ701\nother: AccountKey=<your key>\n",
        ".env": "TOKEN=ghp_" + "a1B2" * 9 + " # finds AZ701\nGREETING=AKIA\n",
        "key.pem": "-----BEGIN RSA " + "PRIVATE KEY----- # finds AZ701\n",
        "tests/test_app.py": f'X = "{CONNECTION}"\n',
        ".funcignore": "tests\n",
    }
    assert places_of(check(tmp_path, files)) == marks_of(files)


def test_secrets_in_local_settings(tmp_path: Path) -> None:
    files = {
        "local.settings.json": f"""{{
  "IsEncrypted": false,
  "Values": {{
    "FUNCTIONS_WORKER_RUNTIME": "python",
    "AzureWebJobsStorage": "{CONNECTION}" // finds AZ702
  }}
}}
"""
    }
    assert places_of(check(tmp_path, files)) == marks_of(files)
    assert check(tmp_path, {**files, ".gitignore": "*.settings.json\n"}) == []
    (tmp_path / ".gitignore").unlink()
    assert check(tmp_path, {**files, ".funcignore": "local.settings.json\n"}) == []


def test_funcignore(tmp_path: Path) -> None:
    files = {
        "function_app.py": "import helpers\nfrom parts import one\n" + PLAIN,
        "helpers.py": "",
        "parts/__init__.py": "",
        "parts/one.py": "",
        "tests/test_app.py": "",
        ".venv/pyvenv.cfg": "",
        ".funcignore": "helpers.py\n",
    }
    found = check(tmp_path, files)
    assert codes(found) == ["AZ703", "AZ704", "AZ704"]
    assert "helpers.py" in found[0].message
    files[".funcignore"] = ".venv/\ntests\n!helpers.py\n*.md\n"
    assert check(tmp_path, files) == []


@pytest.mark.parametrize(
    ("pattern", "excluded", "included"),
    [
        ("*.pyc", ["a.pyc", "b/a.pyc"], ["a.py"]),
        ("tests", ["tests/a.py", "b/tests/a.py"], ["tests.py"]),
        ("/tests", ["tests/a.py"], ["b/tests/a.py"]),
        ("tests/", ["tests/a.py"], ["tests"]),
        ("docs/*.md", ["docs/a.md"], ["docs/b/a.md", "x/docs/a.md"]),
        ("**/cache", ["cache/x", "a/b/cache/x"], ["a/caches/x"]),
        ("a/**/b", ["a/b", "a/x/y/b"], ["a/xb"]),
        ("file[0-9].py", ["file1.py"], ["filea.py"]),
        ("a?c", ["abc"], ["ac", "a/c"]),
        (".git*", [".github/x", ".gitignore"], ["git"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a/c"]),
        ("a/**/b*/**/c", ["a/b/c", "a/x/bb/y/c"], ["a/c", "a/x/b"]),
        ("[^a]b", ["bb"], ["ab"]),
    ],
)
def test_patterns_of_ignore_files(pattern: str, excluded: list[str], included: list[str]) -> None:
    ignored = IgnoreFile(["# comment", "", pattern])
    assert [name for name in excluded if not ignored.excludes(name)] == []
    assert [name for name in included if ignored.excludes(name)] == []


def test_patterns_take_linear_time() -> None:
    ignored = IgnoreFile(["*a" * 30 + "b", "**/a/" * 30 + "b", "**" + "*a*?" * 30 + "b"])
    started = time.thread_time()
    assert not ignored.excludes("a" * 250)
    assert not ignored.excludes("a/" * 250 + "c")
    assert time.thread_time() - started < 1


# Loading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "line", "text"),
    [
        ("import no_such_module_anywhere\n", 1, "No module named 'no_such_module_anywhere'"),
        ("x = 1\nraise ValueError('no luck')\n", 2, "ValueError: no luck"),
        ("x = 1\ny = 2\ndef broken(:\n", 3, "SyntaxError"),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit"),
        ("x = 1\n", 1, "Could not find top level function app instances"),
    ],
)
def test_app_that_cannot_be_loaded(source: str, line: int, text: str, tmp_path: Path) -> None:
    found = check(tmp_path, {"function_app.py": source}, load=True)
    [error] = [finding for finding in found if finding.code == "AZ101"]
    assert (error.file, error.line) == ("function_app.py", line)
    assert text in error.message
    assert str(tmp_path) not in error.message


def test_function_that_is_registered_twice(tmp_path: Path) -> None:
    source = PLAIN + '\n\n@app.function_name("a")\n@app.route(route="b")\ndef b(req):\n    return ""\n'
    [error] = check(tmp_path, {"function_app.py": source}, load=True)
    assert error.code == "AZ101"
    assert "function_app.py:6 and function_app.py:11" in error.message


def test_app_that_only_azure_can_load(tmp_path: Path) -> None:
    trigger = (
        '\n\n@app.generic_trigger(arg_name="v", type="activityTrigger", durableRequiresGrpc=True)\ndef b(v): ...\n'
    )
    found = check(tmp_path, {"function_app.py": PLAIN + trigger}, load=True)
    assert codes(found) == ["AZ107", "AZ409"]
    assert "azure-functions-durable" in found[0].message


def test_file_that_is_no_python_is_found_without_import(tmp_path: Path) -> None:
    files = {"function_app.py": "import broken\n" + PLAIN, "broken.py": "def f(:  # finds AZ103\n"}
    assert places_of(check(tmp_path, files)) == marks_of(files)


def test_functions_that_cannot_be_loaded(tmp_path: Path) -> None:
    source = PLAIN + (
        '\n\n@app.route(route="a")  # finds AZ102\ndef z(req):\n    return ""\n'
        '\n\n@app.route(route="b")\ndef c(req, other):  # finds AZ402\n    return ""\n'
    )
    files = {"function_app.py": source}
    assert places_of(check(tmp_path, files, load=True)) == marks_of(files)


def test_blueprints_folders_and_services(tmp_path: Path) -> None:
    files = {
        "function_app.py": "import parts\n"
        + PLAIN
        + '\n\n@app.service_bus_queue_trigger(arg_name="m", queue_name="q", connection="Bus")  # finds AZ108\n'
        + "def b(m):\n    pass\n",
        "parts.py": "import azure.functions as func  # finds AZ106\n\nbp = func.Blueprint()\n\n\n"
        '@bp.route(route="p")\ndef p(req):\n    return ""\n',
        "Old/__init__.py": "def main(req):\n    return ''\n",
        "Old/function.json": '{"bindings": [ // finds AZ105\n'
        '{"type": "httpTrigger", "direction": "in", "name": "req"}, {"type": "http", "direction": "out", "name": '
        '"$return"}]}',
    }
    found = check(tmp_path, files, load=True)
    assert places_of(found) == marks_of(files), found


def test_app_without_functions(tmp_path: Path) -> None:
    source = "import azure.functions as func\n\napp = func.FunctionApp()\n"
    assert codes(check(tmp_path, {"function_app.py": source}, load=True)) == ["AZ104"]


def test_durable_functions_that_nothing_names(tmp_path: Path) -> None:
    source = HEADER + (
        '\n\n@app.activity_trigger(input_name="v")  \ndef used(v):\n    return v\n'
        '\n\n@app.activity_trigger(input_name="v")  \ndef listed(v):\n    return v\n'
        '\n\n@app.activity_trigger(input_name="v")\ndef unused(v):  # finds AZ409\n    return v\n'
        '\n\n@app.activity_trigger(input_name="v", activity="Other")\ndef other(v):  # finds AZ409\n    return v\n'
        '\n\n@app.entity_trigger(context_name="context")\ndef counter(context):  # finds AZ410\n    pass\n'
        '\n\n@app.orchestration_trigger(context_name="context")\ndef flow(context):  # finds AZ410\n'
        '    yield context.call_activity("used", NAMES)\n\n\nNAMES = ["listed"]\n'
    )
    files = {"function_app.py": source}
    assert places_of(check(tmp_path, files, load=True)) == marks_of(files)
    # A name that is computed may be any of them.
    computed = source.replace('"used"', "context.get_input()")
    assert codes(check(tmp_path, {"function_app.py": computed})) == ["AZ410", "AZ410"]


def test_named_pipes_are_not_read(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no named pipes in folders")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "notes.txt").touch()
    assert [path.name for path in deployed_files(tmp_path, IgnoreFile([]))] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("host.json", ["AZ501", "AZ503"]),
        ("local.settings.json", ["AZ504"]),
        ("requirements.txt", ["AZ103"]),
        (".funcignore", ["AZ103"]),
        (".gitignore", []),
    ],
)
@pytest.mark.parametrize("kind", ["pipe", "folder", "endless"])
def test_what_is_no_regular_file_is_named_and_not_read(
    name: str, expected: list[str], kind: str, tmp_path: Path
) -> None:
    app = write_app(tmp_path, {**COMPLETE, "function_app.py": PLAIN})
    (app / name).unlink(missing_ok=True)
    if kind == "folder":
        (app / name).mkdir()
    elif sys.platform == "win32":
        pytest.skip("Windows has no such files")
    elif kind == "pipe":
        os.mkfifo(app / name)
    else:
        (app / name).symlink_to("/dev/zero")
    found = found_in(app, load=False)
    assert [finding.code for finding in found if finding.file == name] == expected
    reason = "Is a directory" if kind == "folder" else "Not a regular file"
    if sys.platform != "win32":
        assert all(reason in finding.message for finding in found if finding.code not in ("AZ503",))


def test_a_file_without_an_end_is_not_read_as_a_whole(tmp_path: Path) -> None:
    app = write_app(tmp_path, {**COMPLETE, "function_app.py": PLAIN})
    for name in (".funcignore", "requirements.txt"):
        with (app / name).open("wb") as file:
            file.truncate(200 * 1024 * 1024)
    messages = [(finding.file, finding.message) for finding in found_in(app, load=False)]
    assert messages == [
        (".funcignore", "The file cannot be read: Larger than 8 MB"),
        ("requirements.txt", "The file cannot be read: Larger than 8 MB"),
    ]
