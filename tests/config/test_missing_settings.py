"""The message about settings that an app needs and that have no value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emulator.config.missing_settings import example_files, missing_settings_message
from emulator.config.settings import Settings
from tests.processes import started
from tests.running_apps import write_app


def message(app: Path, **settings: str) -> str | None:
    return missing_settings_message(app, Settings(settings), {"PATH": "/bin"})


def test_all_missing_settings_are_in_one_message_with_their_places(tmp_path: Path) -> None:
    app = write_app(
        tmp_path,
        """
        import os
        from os import environ as env
        import azure.functions as func
        from shared import client
        from . import near

        app = func.FunctionApp()
        NAME = "BY_CONSTANT"
        KEY = os.environ["API_KEY"]
        OTHER = env[NAME]
        FOUND = os.environ["PRESENT"], os.environ["PATH"], os.environ["AzureWebJobsStorage"]

        @app.queue_trigger(arg_name="m", queue_name="%QUEUE%", connection="Orders")
        def work(m): return os.environ["AT_CALL"]
        """,
        near="import os\nos.environ['NEAR']\n",
        unused="import os\nos.environ['NOT_IMPORTED']\n",
        host={"extensions": {"durableTask": {"hubName": "%HUB%"}}},
    )
    (app / "shared").mkdir()
    (app / "shared" / "__init__.py").write_text("from .deep.er import x\n")
    (app / "shared" / "client.py").write_text("import os\nurl = os.environ['API_KEY']\n")
    (app / "shared" / "deep").mkdir()
    (app / "shared" / "deep" / "er.py").write_text("import os as o\nx = o.environ['DEEP']\n")
    (app / "local.settings.json.example").write_text("{}")
    expected = f"""\
8 settings that the app uses have no value:
  API_KEY      function_app.py:10 (os.environ), shared/client.py:2 (os.environ)
  BY_CONSTANT  function_app.py:11 (os.environ)
  AT_CALL      function_app.py:15 (os.environ)
  NEAR         near.py:2 (os.environ)
  DEEP         shared/deep/er.py:2 (os.environ); the setting "deep" is written differently
  QUEUE        function_app.py:14 (%QUEUE%)
  HUB          host.json:1 (%HUB%)
  Orders       function_app.py:14 (connection of a binding)
Create local.settings.json in {app} with them: {{"IsEncrypted": false, "Values": {{…}}}}. \
local.settings.json.example in the app's folder shows settings of this app."""
    assert message(app, PRESENT="1", deep="2") == expected
    names = ("PRESENT", "API_KEY", "BY_CONSTANT", "AT_CALL", "NEAR", "DEEP", "QUEUE", "HUB")
    assert message(app, **dict.fromkeys(names, "x"), Orders__accountName="x") is None


@pytest.mark.parametrize(
    "code",
    [
        "os.environ.get('A')",
        "os.getenv('A')",
        "os.environ['A'] = 'x'",
        "os.environ.setdefault('A', 'x'); os.environ['A']",
        "if 'A' in os.environ: os.environ['A']",
        "if os.environ.get('A'): os.environ['A']",
        "try:\n    os.environ['A']\nexcept KeyError:\n    pass",
        "try:\n    f(os.environ['A'])\nexcept (ValueError, KeyError):\n    pass",
        "try:\n    os.environ['A']\nexcept:\n    pass",
        "if __name__ == '__main__':\n    os.environ['A']",
        "other.environ['A']",
        "environ['A']",
        "'%d%m%Y'; os.environ[f()]",
        "def broken(:",
    ],
)
def test_what_cannot_fail_is_not_reported(tmp_path: Path, code: str) -> None:
    assert message(write_app(tmp_path, f"import os\n{code}\n")) is None


def test_reads_outside_of_the_guarded_part_are_reported(tmp_path: Path) -> None:
    app = write_app(tmp_path, "import os\ntry:\n    pass\nexcept KeyError:\n    os.environ['A']\n")
    assert "function_app.py:5 (os.environ)" in (message(app) or "")


def test_settings_of_the_first_programming_model(tmp_path: Path) -> None:
    function = tmp_path / "resize"
    function.mkdir()
    (function / "function.json").write_text(
        json.dumps(
            {
                "scriptFile": "run.py",
                "bindings": [
                    {"type": "queueTrigger", "name": "m", "queueName": "%QUEUE%", "connection": "Orders"},
                    {"type": "blob", "name": "o", "path": "x/{id}", "connection": "AzureWebJobsStorage"},
                ],
            },
            indent=1,
        )
    )
    (function / "run.py").write_text("import os\nfrom __app__.shared import x\nfrom ..shared import y\n")
    (tmp_path / "shared.py").write_text("import os\nos.environ['SHARED']\n")
    lines = (message(tmp_path) or "").splitlines()
    assert lines[1:4] == [
        "  SHARED  shared.py:2 (os.environ)",
        "  QUEUE   resize/function.json:7 (%QUEUE%)",
        '  Orders  resize/function.json:8 (connection of a binding of "resize")',
    ]


def test_bindings_name_settings_in_other_properties_than_connection(tmp_path: Path) -> None:
    (tmp_path / "Send").mkdir()
    bindings = [
        {"type": "sendGrid", "name": "mail", "apiKey": "SENDGRID_KEY", "from": "a@example.com"},
        {"type": "twilioSms", "name": "sms", "accountSidSetting": "TWILIO_SID", "authTokenSetting": "TWILIO_TOKEN"},
    ]
    (tmp_path / "Send" / "function.json").write_text(json.dumps({"bindings": bindings}, indent=1))
    write_app(
        tmp_path,
        """
        @app.generic_input_binding(arg_name="c", type="signalRConnectionInfo", connectionStringSetting="SignalR")
        @app.event_grid_output(arg_name="g", topic_endpoint_uri="TOPIC", topic_key_setting="TOPIC_KEY")
        def send(): pass
        """,
    )
    lines = (message(tmp_path) or "").splitlines()
    assert lines[1:-1] == [
        "  SignalR       function_app.py:2 (connection of a binding)",
        "  TOPIC         function_app.py:3 (topic_endpoint_uri of a binding)",
        "  TOPIC_KEY     function_app.py:3 (topic_key_setting of a binding)",
        '  SENDGRID_KEY  Send/function.json:6 (apiKey of a binding of "Send")',
        '  TWILIO_SID    Send/function.json:12 (accountSidSetting of a binding of "Send")',
        '  TWILIO_TOKEN  Send/function.json:13 (authTokenSetting of a binding of "Send")',
    ]


def test_a_connection_of_many_functions_is_shown_with_three_places(tmp_path: Path) -> None:
    app = write_app(tmp_path, "@app.q(connection='C')\ndef f(): pass\n" * 5)
    places = ", ".join(f"function_app.py:{line} (connection of a binding)" for line in (1, 3, 5))
    assert (message(app) or "").splitlines()[1] == f"  C  {places} and 2 more"


def test_an_app_that_loads_a_dotenv_file_has_its_variables(tmp_path: Path) -> None:
    app = write_app(tmp_path, "import os\nfrom dotenv import load_dotenv\nload_dotenv()\nos.environ['A']\n")
    assert message(app) is not None
    (app / ".env").write_text("A=1")
    assert message(app) is None


def test_script_of_a_function_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "Hello"
    folder.mkdir()
    (folder / "function.json").write_text("{}")
    (folder / "handler.py").write_text("import os\nkey = os.environ['API_KEY']\n")
    assert "API_KEY  Hello/handler.py:2 (os.environ)" in (message(tmp_path) or "")


@pytest.mark.parametrize(
    "name",
    [
        "local.settings.json.example",
        "local.settings.json.sample",
        "local.settings.json.template",
        "local.settings.example.json",
        "example.local.settings.json",
        "sample.settings.json",
        ".env",
        ".env.example",
    ],
)
def test_examples_of_settings_are_found(tmp_path: Path, name: str) -> None:
    for other in ("local.settings.json", "host.json", "function_app.py", "requirements.txt", name):
        (tmp_path / other).write_text("")
    assert example_files(tmp_path) == [name]


def test_missing_settings_are_printed_before_the_import_fails(tmp_path: Path) -> None:
    code = "import os\nfirst = os.environ['FIRST']\nsecond = os.environ['SECOND']\n"
    app = write_app(tmp_path, code)
    with started(app, "--storage", "builtin:memory") as azemu:
        azemu.wait_for("^2 settings that the app uses have no value:$")
        azemu.wait_for(r"^  FIRST   function_app\.py:2 \(os\.environ\)$")
        azemu.wait_for(r"^  SECOND  function_app\.py:3 \(os\.environ\)$")
        azemu.wait_for("KeyError: 'FIRST'")


def test_an_empty_topic_of_event_grid_has_a_meaning(tmp_path: Path) -> None:
    app = write_app(
        tmp_path,
        """
        import azure.functions as func
        app = func.FunctionApp()

        @app.route(route="r")
        @app.event_grid_output(arg_name="e", topic_endpoint_uri="TopicUri", topic_key_setting="TopicKey")
        def publish(req, e): ...
        """,
    )
    assert message(app, TopicUri="", TopicKey="") is None
    missing = message(app)
    assert missing is not None
    assert "TopicUri  function_app.py:6 (topic_endpoint_uri of a binding)" in missing
