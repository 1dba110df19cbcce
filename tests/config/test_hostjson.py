"""host.json: defaults, what is refused and in which words, overrides from the environment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from emulator.config.hostjson import (
    ExtensionBundle,
    HostOptions,
    LogLevel,
    RetryOptions,
    RetryStrategy,
    read_host_json,
)
from emulator.config.schema import option
from emulator.config.settings import Settings
from emulator.config.unused_options import UNUSED_OPTIONS
from emulator.errors import ConfigurationError
from emulator.host.http_options import HttpOptions

Read = Callable[..., HostOptions]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(content: Any, **settings: str) -> HostOptions:
        text = content if isinstance(content, str) else json.dumps({"version": "2.0", **content})
        (tmp_path / "host.json").write_text(text, encoding="utf-8")
        options, _ = read_host_json(tmp_path, Settings(settings))
        return options

    return read


def test_the_defaults(read: Read) -> None:
    options = read({})
    assert options.function_timeout == timedelta(minutes=30)
    assert options.functions is None
    assert options.retry is None
    assert options.file_watching_enabled is True
    assert options.logging.log_level == {}
    assert options.extension_bundle is None
    assert options.section(HttpOptions) == HttpOptions()
    assert HttpOptions() == HttpOptions(route_prefix="api", max_outstanding_requests=-1, max_concurrent_requests=-1)


def test_every_section_is_read(read: Read) -> None:
    options = read(
        {
            "functionTimeout": "00:05:00",
            "functions": ["a", "B"],
            "retry": {"strategy": "fixedDelay", "maxRetryCount": 3, "delayInterval": "00:00:05"},
            "watchDirectories": ["Shared"],
            "watchFiles": ["settings.yaml"],
            "fileWatchingEnabled": False,
            "logging": {"logLevel": {"default": "Warning", "Function.F.User": "debug"}, "fileLoggingMode": "always"},
            "extensionBundle": {"id": "B", "version": "[4.*, 5.0.0)"},
            "aggregator": {"batchSize": 7, "flushTimeout": "00:00:10", "isEnabled": False},
            "healthMonitor": {"counterThreshold": 0.5},
            "singleton": {"lockPeriod": "00:00:30"},
            "concurrency": {"dynamicConcurrencyEnabled": True},
            "extensions": {
                "http": {
                    "routePrefix": "",
                    "maxConcurrentRequests": 5,
                    "customHeaders": {"X-Frame-Options": "deny"},
                    "hsts": {"isEnabled": True, "maxAge": "10", "excludedHosts": ["a"]},
                },
                "queues": {"batchSize": 4, "newBatchThreshold": 1, "messageEncoding": "none"},
                "blobs": {"maxDegreeOfParallelism": 2},
            },
        }
    )
    assert options.function_timeout == timedelta(minutes=5)
    assert options.functions == ("a", "B")
    assert options.retry == RetryOptions(
        strategy=RetryStrategy.FIXED_DELAY, max_retry_count=3, delay_interval=timedelta(seconds=5)
    )
    assert (options.watch_directories, options.watch_files) == (("Shared",), ("settings.yaml",))
    assert options.file_watching_enabled is False
    assert options.logging.log_level == {"default": LogLevel.WARNING, "Function.F.User": LogLevel.DEBUG}
    assert options.extension_bundle == ExtensionBundle(id="B", version="[4.*, 5.0.0)")
    http = options.section(HttpOptions)
    assert (http.route_prefix, http.max_concurrent_requests) == ("", 5)
    assert http.custom_headers == {"X-Frame-Options": "deny"}
    assert (http.hsts.max_age, http.hsts.excluded_hosts) == (timedelta(days=10), ("a",))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThingsOptions:
    """The options of an extension that the host does not know."""

    section_name: ClassVar[str] = "things"

    batch_size: int = option(16, at_least=1, at_most=32)
    nested: HttpOptions = field(default_factory=HttpOptions)


def test_an_extension_reads_its_own_section(read: Read) -> None:
    options = read({"extensions": {"Things": {"batchSize": "4", "nested": {"routePrefix": "x"}}}})
    assert options.section(ThingsOptions) == ThingsOptions(batch_size=4, nested=HttpOptions(route_prefix="x"))


def test_a_wrong_option_of_an_extension_is_refused_when_the_extension_reads_it(read: Read, tmp_path: Path) -> None:
    options = read({"extensions": {"things": {"batchSize": 33}}})
    with pytest.raises(ConfigurationError) as raised:
        options.section(ThingsOptions)
    assert str(raised.value) == (
        f"{tmp_path / 'host.json'}: extensions.things.batchSize is 33; allowed: a whole number from 1 to 32."
    )


def test_every_unused_option_has_one_row_and_a_reason() -> None:
    paths = [row.path.lower() for row in UNUSED_OPTIONS]
    assert len(set(paths)) == len(paths)
    assert all(row.reason for row in UNUSED_OPTIONS)


def test_unused_options_change_nothing(read: Read) -> None:
    content: dict[str, Any] = {}
    for row in UNUSED_OPTIONS:
        section = content
        *parents, key = row.path.split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
        # Absent and null mean the same everywhere, so null fits every kind.
        section[key] = None
    assert replace(read(content), text="") == replace(read({}), text="")


def test_names_ignore_case_and_unknown_ones_are_ignored(read: Read) -> None:
    content = '{"VERSION": "2.0", "Extensions": {"HTTP": {"ROUTEPREFIX": "x", "news": 1}}, "surprise": {"a": []}}'
    assert read(content).section(HttpOptions).route_prefix == "x"


def test_comments_and_trailing_commas_are_accepted(read: Read) -> None:
    assert read('{ // the only version\n "version": "2.0", /* and */ }').functions is None


def test_numbers_and_booleans_may_be_texts(read: Read) -> None:
    options = read({"fileWatchingEnabled": "False", "extensions": {"http": {"maxConcurrentRequests": "8"}}})
    assert (options.file_watching_enabled, options.section(HttpOptions).max_concurrent_requests) == (False, 8)


def test_null_is_the_default(read: Read) -> None:
    options = read({"functions": None, "logging": None, "extensions": {"http": {"routePrefix": None}}})
    assert (options.functions, options.section(HttpOptions).route_prefix) == (None, "api")


def test_a_timeout_of_minus_one_is_unlimited(read: Read) -> None:
    assert read({"functionTimeout": "-1"}).function_timeout is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"functions": "a"}, 'functions is "a"; allowed: an array.'),
        ({"functions": [["a"]]}, 'functions is ["a"]; allowed: a text.'),
        ({"logging": []}, "logging is []; allowed: an object."),
        ({"extensions": 1}, "extensions is 1; allowed: an object."),
        ({"functionTimeout": "soon"}, 'functionTimeout is "soon"; allowed: a time span hh:mm:ss.'),
        ({"functionTimeout": True}, "functionTimeout is true; allowed: a time span hh:mm:ss."),
        ({"fileWatchingEnabled": "often"}, 'fileWatchingEnabled is "often"; allowed: true or false.'),
        ({"fileWatchingEnabled": 1}, "fileWatchingEnabled is 1; allowed: true or false."),
        (
            {"logging": {"logLevel": {"Host.General": "Loud"}}},
            'logging.logLevel.Host.General is "Loud"; '
            "allowed: Trace, Debug, Information, Warning, Error, Critical, None.",
        ),
        (
            {"singleton": {"lockPeriod": "00:02:00"}},
            'singleton.lockPeriod is "00:02:00"; allowed: a time span hh:mm:ss from 00:00:15 to 00:01:00.',
        ),
        (
            {"extensions": {"queues": {"batchSize": 33}}},
            "extensions.queues.batchSize is 33; allowed: a whole number from 1 to 32.",
        ),
        (
            {"extensions": {"queues": {"batchSize": 1.5}}},
            "extensions.queues.batchSize is 1.5; allowed: a whole number from 1 to 32.",
        ),
        (
            {"extensions": {"queues": {"batchSize": {}}}},
            "extensions.queues.batchSize is {}; allowed: a whole number from 1 to 32.",
        ),
        (
            {"extensions": {"queues": {"maxPollingInterval": "00:00:00.01"}}},
            'extensions.queues.maxPollingInterval is "00:00:00.01"; '
            "allowed: a time span hh:mm:ss of at least 00:00:00.1000000.",
        ),
        (
            {"extensions": {"queues": {"messageEncoding": "utf8"}}},
            'extensions.queues.messageEncoding is "utf8"; allowed: base64, none.',
        ),
        (
            {"healthMonitor": {"counterThreshold": 2}},
            "healthMonitor.counterThreshold is 2; allowed: a number from 0 to 1.",
        ),
        ({"retry": {"maxRetryCount": 3}}, "retry.strategy is null; allowed: a value; it is required here."),
        (
            {"retry": {"strategy": "fixedDelay", "maxRetryCount": 3}},
            "retry.delayInterval is null; allowed: a time span hh:mm:ss, which strategy fixedDelay needs.",
        ),
        (
            {
                "retry": {
                    "strategy": "exponentialBackoff",
                    "maxRetryCount": -1,
                    "minimumInterval": "00:01:00",
                    "maximumInterval": "00:00:30",
                }
            },
            'retry.minimumInterval is "00:01:00"; allowed: a time span of at most maximumInterval (00:00:30).',
        ),
    ],
)
def test_a_wrong_value_is_refused_with_all_facts(read: Read, tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(content)
    assert str(raised.value) == f"{tmp_path / 'host.json'}: {message}"


def test_a_time_limit_under_a_second_is_refused(read: Read) -> None:
    with pytest.raises(ConfigurationError, match="FunctionTimeout must be greater than 00:00:01"):
        read({"functionTimeout": "00:00:00.5"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{",
            "Unable to parse host configuration file '{path}'. "
            "Line 1, column 2: Expecting property name enclosed in double quotes. It must be a JSON object.",
        ),
        (
            "",
            "Unable to parse host configuration file '{path}'. "
            "Line 1, column 1: Expecting value. It must be a JSON object.",
        ),
        ("[]", "Unable to parse host configuration file '{path}'. It must be a JSON object."),
        (
            '{"version": "2.0", "functionTimeout": ' + "9" * 5000 + "}",
            "Unable to parse host configuration file '{path}'. "
            "Line 1, column 1: A number has too many digits. It must be a JSON object.",
        ),
        (
            '{"version": 2.0}',
            'The host.json \'version\' property is a number; it must be a text: "version": "2.0". See '
            "https://aka.ms/functions-hostjson for more information on this configuration file.",
        ),
        (
            '{"logging": {}}',
            "The host.json file is missing the required 'version' property. See https://aka.ms/functions-hostjson for "
            "steps to migrate the configuration file.",
        ),
        (
            '{"version": "1.0"}',
            "'1.0' is an invalid value for host.json 'version' property. We recommend you set the 'version' "
            "property to '2.0'. See https://aka.ms/functions-hostjson for more information on this configuration file.",
        ),
        (
            '{"version": "3.0"}',
            "'3.0' is an invalid value for host.json 'version' property. We recommend you set the 'version' "
            "property to '2.0'. This does not correspond to the function runtime version, only to the schema version "
            "of the host.json file. See https://aka.ms/functions-hostjson for more information on this configuration "
            "file.",
        ),
    ],
)
def test_a_malformed_host_json_is_refused(read: Read, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(text)
    assert str(raised.value) == message.replace("{path}", str(tmp_path / "host.json"))


def test_a_folder_named_host_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "host.json").mkdir()
    with pytest.raises(
        ConfigurationError,
        match=r"Unable to read host configuration file '.*host.json': [A-Z][\w ]+\. It must be a readable file\.$",
    ):
        read_host_json(tmp_path, Settings({}))


def test_a_duplicate_section_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0", "retry": null, "retry": null}')
    _, warnings = read_host_json(tmp_path, Settings({}))
    assert warnings == [f"'{tmp_path / 'host.json'}' contains \"retry\" twice in one object; the last value is used."]


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (None, "No host configuration file found. Creating a default host.json file."),
        ("{}", "Empty host configuration file found. Creating a default host.json file."),
    ],
)
def test_a_default_file_is_created(tmp_path: Path, content: str | None, note: str) -> None:
    if content is not None:
        (tmp_path / "host.json").write_text(content)
    options, warnings = read_host_json(tmp_path, Settings({}))
    assert warnings == [note]
    assert options.extension_bundle == ExtensionBundle(
        id="Microsoft.Azure.Functions.ExtensionBundle", version="[4.*, 5.0.0)"
    )
    assert json.loads((tmp_path / "host.json").read_text()) == {
        "version": "2.0",
        "extensionBundle": {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"},
    }
    assert read_host_json(tmp_path, Settings({})) == (options, [])


def test_settings_override_the_file(read: Read) -> None:
    options = read(
        {"extensions": {"http": {"routePrefix": "v1"}}},
        AzureFunctionsJobHost__extensions__http__routePrefix="v2",
        AzureFunctionsJobHost__logging__logLevel__default="Debug",
        azurefunctionsjobhost__EXTENSIONS__Http__MaxConcurrentRequests="3",
    )
    assert options.section(HttpOptions).route_prefix == "v2"
    assert options.logging.log_level == {"default": LogLevel.DEBUG}
    assert options.section(HttpOptions).max_concurrent_requests == 3


def test_arrays_are_overridden_by_index(read: Read) -> None:
    options = read(
        {"functions": ["a", "b"]},
        AzureFunctionsJobHost__functions__1="B",
        AzureFunctionsJobHost__functions__2="c",
        AzureFunctionsJobHost__watchFiles__0="x.yaml",
    )
    assert options.functions == ("a", "B", "c")
    assert options.watch_files == ("x.yaml",)


def test_a_wrong_override_names_the_setting(read: Read) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read({}, AzureFunctionsJobHost__extensions__queues__batchSize="many")
    assert str(raised.value) == (
        "App setting AzureFunctionsJobHost__extensions__queues__batchSize: "
        'extensions.queues.batchSize is "many"; allowed: a whole number from 1 to 32.'
    )


def test_the_logged_text_has_only_known_sections(read: Read) -> None:
    assert json.loads(read({"logging": {}, "secrets": "s"}).text) == {"version": "2.0", "logging": {}}


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"X A": "b"}, 'X A is "b"; allowed: a header whose name has letters, digits and hyphens only.'),
        ({"X-A": "b\r\nX-B: c"}, 'X-A is "b\\r\\nX-B: c"; allowed: a text of printable ASCII characters.'),
        ({"X-A": "\ud800"}, 'X-A is "\ud800"; allowed: a text of printable ASCII characters.'),
    ],
)
def test_custom_headers_that_no_response_can_have_are_refused(
    read: Read, headers: dict[str, str], message: str
) -> None:
    """They ended the connection of every request."""
    options = read({"extensions": {"http": {"customHeaders": headers}}})
    with pytest.raises(ConfigurationError) as raised:
        options.section(HttpOptions)
    assert f"extensions.http.customHeaders.{message}" in str(raised.value)


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    """Reading a pipe waits for a writer."""
    if sys.platform == "win32":
        pytest.skip("Windows has no named pipes in folders")
    path = tmp_path / "host.json"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case _:
            path.symlink_to(path)
    with pytest.raises(
        ConfigurationError, match=r"Unable to read host configuration file .*It must be a readable file"
    ):
        read_host_json(tmp_path, Settings({}, exported={}, root=tmp_path), create=False)
