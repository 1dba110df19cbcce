"""Reading of host.json into frozen dataclasses: the options of the host, and the sections that extensions parse.

Each extension reads its own section with a dataclass of its own (`HostOptions.section`). Options that have no effect
in azemu are rows of `unused_options.UNUSED_OPTIONS`.

Source: host, ScriptHostBuilderExtensions.cs, Config/HostJsonFileConfigurationSource.cs;
docs/protocol/functions-host.md 1.1-1.3.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from emulator import bound_json as json
from emulator.config.jsonc import NotText, read_json
from emulator.config.queue_options import QueuesOptions
from emulator.config.schema import Rule, Section, SectionOptions, option, read_section
from emulator.config.settings import Settings
from emulator.config.typos import host_typos, option_typos
from emulator.config.unused_options import check_unused_options
from emulator.dotnet.timespan import format_timespan
from emulator.errors import ConfigurationError

T = TypeVar("T", bound=SectionOptions)

FILE_NAME: Final = "host.json"
OVERRIDE_PREFIX: Final = "AzureFunctionsJobHost:"
HELP_URL: Final = "https://aka.ms/functions-hostjson"
DEFAULT_CONTENT: Final[Mapping[str, Any]] = {
    "version": "2.0",
    "extensionBundle": {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"},
}
# Sections of the real host. Only these are logged, because an unknown one may hold a secret.
WELL_KNOWN: Final = frozenset(
    (
        "version functiontimeout retry functions http watchdirectories watchfiles queues serviceBus eventhub singleton "
        "logging aggregator healthmonitor extensionbundle manageddependencies customhandler httpworker extensions "
        "concurrency telemetrymode sendcanceledinvocationstoworker metadataprovidertimeout"
    )
    .lower()
    .split()
)
_NO_TIMEOUT: Final = timedelta(days=-1)  # What "-1" means as a .NET TimeSpan.


class LogLevel(enum.Enum):
    """Log levels of .NET, from the most to the least verbose."""

    TRACE = "Trace"
    DEBUG = "Debug"
    INFORMATION = "Information"
    WARNING = "Warning"
    ERROR = "Error"
    CRITICAL = "Critical"
    NONE = "None"


class RetryStrategy(enum.Enum):
    """Values of retry.strategy."""

    FIXED_DELAY = "fixedDelay"
    EXPONENTIAL_BACKOFF = "exponentialBackoff"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """retry: the policy of functions without one of their own. `max_retry_count` -1: unlimited."""

    strategy: RetryStrategy
    max_retry_count: int = option(at_least=-1)
    delay_interval: timedelta | None = option(None, at_least=timedelta(0))
    minimum_interval: timedelta | None = option(None, at_least=timedelta(0))
    maximum_interval: timedelta | None = option(None, at_least=timedelta(0))

    def check(self, section: Section) -> None:
        """Check the options that depend on each other. `section`: where they were read. Raises ConfigurationError."""
        if self.strategy is RetryStrategy.FIXED_DELAY:
            needed = {"delayInterval": self.delay_interval}
        else:
            needed = {"minimumInterval": self.minimum_interval, "maximumInterval": self.maximum_interval}
        for key, interval in needed.items():
            if interval is None:
                raise section.error(key, None, f"a time span hh:mm:ss, which strategy {self.strategy.value} needs")
        # For both strategies, because the options may be there although the strategy does not read them.
        low, high = self.minimum_interval, self.maximum_interval
        if low is not None and high is not None and low > high:
            allowed = f"a time span of at most maximumInterval ({format_timespan(high)})"
            raise section.error("minimumInterval", format_timespan(low), allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SingletonOptions:
    """singleton: how long the leases of host locks last without a renewal.

    `lock_period`: of singletons. `listener_lock_period`: of listeners, such as those of timer functions.
    """

    # The limits of SingletonOptions in .NET: a blob lease lasts 15 to 60 seconds.
    lock_period: timedelta = option(timedelta(seconds=15), at_least=timedelta(seconds=15), at_most=timedelta(minutes=1))
    listener_lock_period: timedelta = option(
        timedelta(minutes=1), at_least=timedelta(seconds=15), at_most=timedelta(minutes=1)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """logging.applicationInsights.samplingSettings: how much telemetry is sent (insights/sampling.py).

    `excluded_types`, `included_types`: kinds of telemetry, separated by semicolons.
    """

    # The defaults are those of the Application Insights SDK for .NET, and the host's own for the items per second.
    is_enabled: bool = True
    max_telemetry_items_per_second: float = option(20.0, at_least=0)
    evaluation_interval: timedelta = option(timedelta(seconds=15), at_least=timedelta(0))
    initial_sampling_percentage: float = option(100.0, at_least=0.001, at_most=100)
    sampling_percentage_increase_timeout: timedelta = timedelta(minutes=15)
    sampling_percentage_decrease_timeout: timedelta = timedelta(minutes=2)
    min_sampling_percentage: float = option(0.1, at_least=0.001, at_most=100)
    max_sampling_percentage: float = option(100.0, at_least=0.001, at_most=100)
    moving_average_ratio: float = option(0.25, at_least=0, at_most=1)
    excluded_types: str = "Request"
    included_types: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationInsightsOptions:
    """logging.applicationInsights"""

    sampling_settings: SamplingOptions = SamplingOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingOptions:
    """logging. `log_level`: category prefix → lowest level shown; the key `default` is the fallback."""

    log_level: Mapping[str, LogLevel] = field(default_factory=dict)
    application_insights: ApplicationInsightsOptions = ApplicationInsightsOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionBundle:
    """extensionBundle"""

    id: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """Options of the host itself in host.json, and `section` for those of its extensions.

    `function_timeout` None: unlimited. `functions` None: all; else only these. `text`: the file as read, without
    unknown sections, for the log line `Host configuration file read:`. `extensions`: the section of that name, unread.
    """

    function_timeout: timedelta | None = timedelta(minutes=30)
    functions: tuple[str, ...] | None = None
    retry: RetryOptions | None = None
    watch_directories: tuple[str, ...] = ()
    watch_files: tuple[str, ...] = ()
    file_watching_enabled: bool = True
    telemetry_mode: str = ""
    singleton: SingletonOptions = SingletonOptions()
    extension_bundle: ExtensionBundle | None = None
    logging: LoggingOptions = LoggingOptions()
    text: str = option("", key="")
    # Sections contain the source of each value, which does not matter for the equality of two sets of options.
    extensions: Section = field(
        default=Section({}, ("extensions",), lambda path: FILE_NAME), compare=False, metadata={"rule": Rule(key="")}
    )

    def typos(self, options: type[T]) -> list[str]:
        """Return warnings about keys of the section of an extension that are probably misspelled."""
        return option_typos(options, self.extensions.section(options.section_name))

    def section(self, options: type[T]) -> T:
        """Read the section below `extensions` that a dataclass names as its own. Raises ConfigurationError."""
        return read_section(options, self.extensions.section(options.section_name))


def read_host_json(root: Path, settings: Settings, *, create: bool = True) -> tuple[HostOptions, list[str]]:
    """Read host.json of the app in `root`; return the options and warnings for the user.

    Settings named `AzureFunctionsJobHost__a__b` replace the file's values. `create`: write a missing or empty file, as
    the Functions host does; otherwise the defaults are only used. Raises ConfigurationError, in the words of the
    Functions host where it has them.
    """
    path = root / FILE_NAME
    content, warnings = _load(path, create)
    _check_version(content)
    # Taken before the overrides: the log line shows the file as it is.
    text = json.dumps({key: value for key, value in content.items() if key.lower() in WELL_KNOWN}, indent=2)
    # Which app setting defined the value at a path (in lower case), for error messages.
    overridden = {}
    for name, value in settings.items():
        key = name.replace("__", ":")
        if key.lower().startswith(OVERRIDE_PREFIX.lower()):
            override_path = key[len(OVERRIDE_PREFIX) :].split(":")
            _override(content, override_path, value)
            overridden[tuple(part.lower() for part in override_path)] = name

    def origin(option_path: Sequence[str]) -> str:
        setting = overridden.get(tuple(part.lower() for part in option_path))
        return f"App setting {setting}" if setting else str(path)

    # Overrides are applied before anything is parsed, so that a wrong value in the file does not matter if a setting
    # replaces it.
    document = Section(content, (), origin)
    options = replace(read_section(HostOptions, document), extensions=document.section("extensions"), text=text)
    # Read again by the code that uses them. A wrong value is reported before storage is started for the app.
    options.section(QueuesOptions)
    warnings += check_unused_options(document, settings)
    warnings += host_typos(HostOptions, document)
    if options.retry is not None:
        options.retry.check(document.section("retry"))
    # A bare integer is a number of days in a .NET TimeSpan, so "-1" arrives as minus one day.
    timeout = options.function_timeout
    if timeout == _NO_TIMEOUT:
        options = replace(options, function_timeout=None)
    elif timeout is not None and timeout < timedelta(seconds=1):
        raise ConfigurationError(
            f"{document.origin(('functionTimeout',))}: functionTimeout is {document.get('functionTimeout')!r}. "
            'FunctionTimeout must be greater than 00:00:01; "-1" means unlimited.'
        )
    return options, warnings


def _load(path: Path, create: bool) -> tuple[dict[str, Any], list[str]]:
    try:
        file = read_json(path)
    except FileNotFoundError:
        return _defaults(path, create, "No host configuration file found. Creating a default host.json file.")
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"Unable to parse host configuration file '{path}'. "
            f"Line {error.lineno}, column {error.colno}: {error.msg}. It must be a JSON object."
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"Unable to read host configuration file '{path}': {error.strerror}. It must be a readable file."
        ) from error
    except NotText as error:
        raise ConfigurationError(f"Unable to read host configuration file '{path}'. {error}") from None
    content = file.value
    if not isinstance(content, dict):
        raise ConfigurationError(f"Unable to parse host configuration file '{path}'. It must be a JSON object.")
    if not content:
        return _defaults(path, create, "Empty host configuration file found. Creating a default host.json file.")
    return content, list(file.warnings)


def _defaults(path: Path, create: bool, note: str) -> tuple[dict[str, Any], list[str]]:
    content = dict(DEFAULT_CONTENT)
    if not create:
        return content, []
    # In a read-only folder the defaults are used without a file.
    with suppress(OSError):
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content, [note]


def _check_version(content: Mapping[str, Any]) -> None:
    version = next((value for key, value in content.items() if key.lower() == "version"), None)
    if version is None:
        raise ConfigurationError(
            f"The host.json file is missing the required 'version' property. See {HELP_URL} for steps to migrate "
            "the configuration file."
        )
    # The number 2.0 is a common mistake, and `2.0 != "2.0"` would be a confusing message.
    if version == 2 and not isinstance(version, bool):
        raise ConfigurationError(
            'The host.json \'version\' property is a number; it must be a text: "version": "2.0". '
            f"See {HELP_URL} for more information on this configuration file."
        )
    if version != "2.0":
        runtime = (
            "This does not correspond to the function runtime version, only to the schema version of the host.json "
            "file. "
        )
        raise ConfigurationError(
            f"'{version}' is an invalid value for host.json 'version' property. We recommend you set the 'version' "
            f"property to '2.0'. {runtime if str(version).startswith('3') else ''}"
            f"See {HELP_URL} for more information on this configuration file."
        )


def _override(members: dict[str, Any], path: Sequence[str], value: str) -> None:
    head, *rest = path
    key = next((name for name in members if name.lower() == head.lower()), head)
    if not rest:
        members[key] = value
        return
    below = members.get(key)
    if isinstance(below, list):
        # Settings override elements of arrays by index, because an array is an object of indexes in .NET configuration.
        below = {str(index): item for index, item in enumerate(below)}
    members[key] = dict(below) if isinstance(below, dict) else {}
    _override(members[key], rest, value)
