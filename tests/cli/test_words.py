"""Command line: help, suggestions for misspelt words, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from emulator.cli.arguments import parse
from emulator.cli.start_arguments import parse_start
from tests.processes import environment, run, run_in_this_process
from tests.running_apps import write_app


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",), ("help", "help")])
def test_overview_is_printed_without_a_command(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run_in_this_process(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: azemu <command> [options]" in done.stdout
    assert "azemu start --port 8080" in done.stdout


@pytest.mark.parametrize("words", [("start", "--help"), ("host", "start", "-h"), ("help", "start")])
def test_help_of_start_shows_options_and_examples(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run_in_this_process(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for option in ("--port", "--address", "--app", "--script-root", "--functions", "--enableAuth", "--no-reload"):
        assert option in done.stdout
    assert "azemu start --cors http://localhost:3000" in done.stdout


@pytest.mark.parametrize("word", ["--version", "-v", "-V", "version"])
def test_version_is_printed(tmp_path: Path, word: str) -> None:
    done = run_in_this_process(word, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("azemu ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("why", "--port", "7071", "--hub", "Other"),
            "azemu: --port asks a host, and --hub none. Use one of them.\nTry 'azemu why --help'.\n",
        ),
        (
            ("history", "export", "i", "--port", "7071", "--connection", "Orders"),
            "azemu: --port asks a host, and --connection none. Use one of them.\nTry 'azemu history export --help'.\n",
        ),
        *(
            # Python refuses to convert thousands of digits, and would take those of other scripts.
            ((*words, option, number), f"azemu: {option}: '{number}' is not {what}\nTry 'azemu {command} --help'.\n")
            for number in ("9" * 5000, "\u0663")
            for command, words, option, what in (
                ("start", ("start",), "--port", "a port number. Use 0 to 65535 (0: any free port)."),
                (
                    "start",
                    ("start",),
                    "--chaos",
                    "a seed. Use a number such as 17, or leave it out for a random one.",
                ),
                ("durable list", ("durable", "list"), "--top", "a whole number from 0 to 1000000000."),
                ("check", ("check",), "--timeout", "a whole number from 1 to 86400."),
                ("report", ("report",), "--memory", "a whole number from 1 to 16384."),
                (
                    "history fork",
                    ("history", "fork", "i"),
                    "--at",
                    "the number of an event. `azemu history fork ID` lists them.",
                ),
            )
        ),
        (("strat",), "azemu: unknown command 'strat'. Did you mean 'azemu start'?\n"),
        (("hots", "start"), "azemu: unknown command 'hots'. Did you mean 'azemu host'?\n"),
        (("host", "stat"), "azemu: unknown command 'host stat'. Did you mean 'azemu host start'?\n"),
        (("storage", "exprot"), "azemu: unknown command 'storage exprot'. Did you mean 'azemu storage export'?\n"),
        (("--port", "8080"), "azemu: expected a command, not '--port'. Did you mean 'azemu start --port 8080'?\n"),
        (("--versoin",), "azemu: expected a command, not '--versoin'. Did you mean 'azemu --version'?\n"),
        (("xyzzy",), "azemu: unknown command 'xyzzy'. `azemu --help` lists the commands.\n"),
        (("storage", "xyzzy"), "azemu: unknown command 'storage xyzzy'. Known commands: export, import, copy.\n"),
        (
            ("start", "--prot", "1"),
            "azemu: unknown argument '--prot'. Did you mean '--port'?\nTry 'azemu start --help'.\n",
        ),
        (
            ("start", "--script-rot=x"),
            "azemu: unknown argument '--script-rot=x'. Did you mean '--script-root'?\nTry 'azemu start --help'.\n",
        ),
        (("start", "now"), "azemu: unknown argument 'now'.\nTry 'azemu start --help'.\n"),
        (
            ("start", "--port", "many"),
            "azemu: --port: 'many' is not a port number. "
            "Use 0 to 65535 (0: any free port).\nTry 'azemu start --help'.\n",
        ),
        (
            ("start", "-p", "65536"),
            "azemu: --port: '65536' is not a port number. "
            "Use 0 to 65535 (0: any free port).\nTry 'azemu start --help'.\n",
        ),
        (
            ("start", "--user-log-level", "loud"),
            "azemu: --user-log-level: 'loud' is not a log level. Use one of: "
            "Trace, Debug, Information, Warning, Error, Critical, None.\nTry 'azemu start --help'.\n",
        ),
        (
            ("storage", "export"),
            "azemu: the following arguments are required: FILE\nTry 'azemu storage export --help'.\n",
        ),
    ],
)
def test_wrong_argument_is_an_error_with_a_suggestion(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = run_in_this_process(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (("azure", "functionapp", "publish", "my-app"), "Deploy with `func azure functionapp publish NAME`"),
        (("azure", "functionapp", "logstream", "my-app"), "`azemu logs --follow` shows the log of the host"),
        (("extensions", "install", "--package", "x"), "azemu needs no extension bundle"),
        (("settings", "add", "Name", "value"), 'edit "Values" in local.settings.json'),
        (("run", "greet"), "Use `azemu invoke NAME DATA`"),
        (("pack",), "Use `func pack`"),
    ],
)
def test_command_of_core_tools_that_azemu_lacks_is_answered_with_what_to_use(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], instead: str
) -> None:
    assert parse(words) == 2
    out, err = capsys.readouterr()
    assert (out, err.startswith(f"azemu: there is no command '{words[0]}")) == ("", True)
    assert instead in err


def test_group_without_its_second_word_is_an_error_with_its_commands(tmp_path: Path) -> None:
    # As users run it, for its exit code.
    done = run("storage", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("azemu: 'azemu storage' needs one more word. Commands:\n  azemu storage export  save")
    asked = run_in_this_process("storage", "--help", cwd=tmp_path)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "  azemu storage copy    copy queues, tables and blobs" in asked.stdout


def test_characters_that_the_console_cannot_show_become_question_marks(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    words = ("storage", "export", "--app", str(app), "--from", "builtin:memory", "\u4e2d\u00e9.jsonl")
    done = run(*words, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert " to ??.jsonl" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows reports a closed pipe in another way")
def test_output_that_is_not_read_to_its_end_is_no_error(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "azemu", "completion", "fish"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_python_arguments_may_begin_with_a_dash() -> None:
    for words in (["--python-arguments", "-Xdev"], ["--language-worker", "-Xdev"], ["--python-arguments=-Xdev"]):
        started = parse_start([*words, "--verbose"])
        assert (started.python_arguments, started.verbose) == ("-Xdev", True)
