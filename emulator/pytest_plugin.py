"""Pytest plugin (entry point `azemu`): the fixture `azemu`, a running function app, and the marker for its options.

    @pytest.mark.azemu("samples/human-interaction", settings={"REGION": "test"})
    async def test_approval_times_out(azemu):
        instance = await azemu.client.start_new("approve_document", client_input={…})
        status = await azemu.wait(instance)

In a plain (not async) test function the fixture has the same methods without `await`. Async tests need no other plugin.
The app is the one of the marker, else that of `azemu_app` in the pytest configuration, else the nearest folder above
the test file that has a host.json or a function_app.py. If a test fails, the app's console is part of the report.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import sys
import sysconfig
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import pytest
from _pytest.runner import runtestprotocol

# The first two bind functions of the standard library before tests replace them. All of these load little.
from emulator import bound_json, own_modules, random_numbers  # noqa: F401
from emulator.logs import HostRecord
from emulator.own_modules import LIBRARY_FOLDERS, OWN_MODULES

if TYPE_CHECKING:
    # At run time it is imported in the fixture: every pytest run loads this module, and only tests that use the
    # fixture should pay for the import of the host.
    from emulator.testing import AppUnderTest, SyncAppUnderTest

_FIXTURE = "azemu"
_SEEDS, _SEED = "--azemu-chaos", "--azemu-chaos-seed"
_HOLD = "--azemu-hold"
_CHAOS_SECTION = "azemu chaos"
# A report has at most so many lines of the console, unless pytest runs with -vv, as its own long comparisons.
_CONSOLE_LINES, _VERBOSITY_OF_ALL = 100, 2
_failed = pytest.StashKey[bool]()
# The running app of a test with chaos.
_app_with_chaos = pytest.StashKey["SyncAppUnderTest"]()
_seed_of_run = pytest.StashKey[int]()
_APP_FILES = ("host.json", "function_app.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the configuration option `azemu_app` and the options for chaos."""
    parser.addini("azemu_app", "Folder of the function app that the azemu fixture runs, relative to this file.")
    group = parser.getgroup("azemu")
    group.addoption(
        _SEEDS,
        type=_number_of_seeds,
        metavar="NUMBER",
        help="run each test that uses the azemu fixture under so many seeds of faults, until one fails",
    )
    group.addoption(
        _HOLD,
        action="store_true",
        help="keep the app of a failed test that uses the azemu fixture open, and print the address of its dashboard",
    )
    group.addoption(
        _SEED, type=int, metavar="SEED", help="run the tests that use the azemu fixture under this seed of faults"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Let a package `emulator` of the app be imported by its tests, beginning with their first conftest.py."""
    here = early_config.invocation_params.dir
    arguments = [here / str(argument).partition("::")[0] for argument in early_config.args or ()]
    for path in (here, early_config.rootpath, *arguments):
        _yield_name_to_package_in(path, *path.parents)


@pytest.hookimpl(tryfirst=True)
def pytest_ignore_collect(collection_path: Path) -> None:
    """Let tests that are found later import a package `emulator` of their app. Other plugins decide what is ignored."""
    _yield_name_to_package_in(collection_path)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Load the host before any fixture runs: fixtures may replace functions that the host needs."""
    if any(_FIXTURE in getattr(item, "fixturenames", ()) for item in session.items):
        import emulator.testing.sync  # noqa: F401


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, so that --strict-markers accepts it."""
    config.addinivalue_line(
        "markers",
        "azemu(path=None, **options): the app that the azemu fixture runs, and options of emulator.testing.start.",
    )


@pytest.fixture(name=_FIXTURE)
def azemu(request: pytest.FixtureRequest) -> Iterator[AppUnderTest | SyncAppUnderTest]:
    """The running function app: an AppUnderTest in async tests, a SyncAppUnderTest in others (emulator.testing)."""
    from emulator.errors import EmulatorError
    from emulator.testing.sync import start_sync

    path, options = _app_of_test(request.node, request.config)
    seed = request.node.stash.get(_seed_of_run, request.config.getoption(_SEED))
    if seed is not None and _may_have_chaos(options):
        from emulator.testing.chaos import Chaos

        options["chaos"] = Chaos(seed)
    try:
        # A sync fixture for both kinds of tests: an async one would need a plugin, and would run on that plugin's loop.
        with _without_host_logs(request.config), start_sync(path, **options) as app:
            if "chaos" in options:
                request.node.stash[_app_with_chaos] = app
            yield app.awaitable if inspect.iscoroutinefunction(request.function) else app
            if request.config.getoption(_HOLD) and request.node.stash.get(_failed, False):
                _hold(request.node, app.dashboard_url)
    except EmulatorError as error:
        # The app cannot start, or an orchestrator is not deterministic. The message is for the user; a traceback
        # through azemu would only hide it.
        pytest.fail(str(error), pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test that uses the fixture under one seed after the other, until it fails: --azemu-chaos.

    It stays one test of the report, so other plugins (pytest-xdist) see what they always see.
    """
    # pytest has no public function that runs a test again. As plugins that repeat failed tests do, this one calls
    # `runtestprotocol`, which gives every run new fixtures, and `teardown_exact`. Seeds as parameters would need
    # neither, but would make as many tests of each, with other names, which do not end at the first failure.
    number = item.config.getoption(_SEEDS)
    if number is None or not isinstance(item, pytest.Function) or _FIXTURE not in item.fixturenames:
        return None
    marker = item.get_closest_marker(_FIXTURE)
    if marker is not None and not _may_have_chaos(marker.kwargs):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    first = item.config.getoption(_SEED) or 0
    for seed in range(first, first + number):
        item.stash[_seed_of_run] = seed
        is_last = seed == first + number - 1
        # Before the last run, only what belongs to the test itself is torn down: fixtures of its module stay.
        reports = runtestprotocol(item, log=False, nextitem=nextitem if is_last else cast(pytest.Item, item.parent))
        if is_last or not all(report.passed for report in reports):
            break
    failed = [report for report in reports if report.failed]
    for report in failed:
        repeat = f'pytest "{item.nodeid}" {_SEED}={seed}'
        report.sections.append((_CHAOS_SECTION, f"The test fails under seed {seed}. Repeat it:\n{repeat}"))
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    if failed and not is_last:
        # What other tests do not need was kept for the next seed.
        item.session._setupstate.teardown_exact(nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test that uses the fixture, unless another plugin runs it."""
    # Plugins for async tests either run before this hook or have replaced the coroutine function by a sync one.
    if not inspect.iscoroutinefunction(pyfuncitem.obj) or _FIXTURE not in pyfuncitem.fixturenames:
        return None
    import asyncio

    parameters = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in parameters}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the app's console, and what happened under chaos, to the report of a failed test."""
    if call.excinfo is not None and not item.config.getoption("fulltrace"):
        _end_traceback_in_test(call.excinfo)
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    app = getattr(item, "funcargs", {}).get(_FIXTURE)
    if report.failed and app is not None:
        # A test of some days of virtual time writes thousands of lines.
        *earlier, _ = lines = app.console.splitlines() or [""]
        if len(earlier) >= _CONSOLE_LINES and item.config.get_verbosity() < _VERBOSITY_OF_ALL:
            left_out = f"({len(lines) - _CONSOLE_LINES:,} earlier lines are left out. `pytest -vv` shows all.)"
            lines = [left_out, *lines[-_CONSOLE_LINES:]]
        report.sections.append(("azemu console", "\n".join(lines)))
    # After the test the app is closed; what `start` raises then has the report in its message.
    if report.failed and report.when != "teardown" and (chaotic := item.stash.get(_app_with_chaos, None)) is not None:
        from emulator.errors import EmulatorError

        try:
            text = str(chaotic.chaos_report())
        except EmulatorError as error:
            text = f"What happened under chaos is not known: {error}"
        report.sections.append((_CHAOS_SECTION, text))
    return report


def _end_traceback_in_test(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Leave out what follows the last line of the user's code, if the error is a message of azemu or of the SDK.

    pytest otherwise shows the source of a function of azemu, and the line of the test far above it. --full-trace shows
    all. Other errors, such as a mistake of azemu, keep their traceback.
    """
    from emulator.errors import EmulatorError

    libraries = (own_modules.PREFIX, sysconfig.get_path("stdlib"), *(f"{os.sep}{n}{os.sep}" for n in LIBRARY_FOLDERS))
    last_of_user: TracebackType | None = None
    step: TracebackType | None = excinfo.tb
    files = [""]
    while step is not None:
        files.append(step.tb_frame.f_code.co_filename)
        if not any(part in files[-1] for part in libraries):
            last_of_user, files = step, [""]
        step = step.tb_next
    passes_azemu = any(file.startswith(own_modules.PREFIX) for file in files)
    # What the SDK raises in app.client, such as for an unknown orchestrator.
    is_of_sdk = f"{os.sep}durable_functions{os.sep}" in files[-1]
    if last_of_user is not None and passes_azemu and (is_of_sdk or isinstance(excinfo.value, EmulatorError)):
        last_of_user.tb_next = None


def _hold(item: pytest.Item, url: str) -> None:
    """Wait until the user presses Enter. The app runs on a thread of its own meanwhile."""
    capture = item.config.pluginmanager.get_plugin("capturemanager")
    # As pytest's debugger does it. Without captured output (-s) there is nothing to suspend.
    if capture is not None:
        capture.suspend(in_=True)
    try:
        sys.stdout.write(f"\n{item.nodeid} has failed. Its app is open: {url}\nPress Enter to continue. ")
        sys.stdout.flush()
        # Without a terminal, as with pytest-xdist, no one could press a key.
        if sys.stdin.readline() == "":
            sys.stdout.write("There is no input, so the app is closed.\n")
    finally:
        if capture is not None:
            capture.resume()


def _number_of_seeds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seeds. Use 1 or more, for example 100.")
    return int(text)


def _may_have_chaos(options: Mapping[str, Any]) -> bool:
    """Whether a test with these options of its marker can run under seeds: it has no own chaos and no real time."""
    is_virtual = options.get("clock", "virtual") == "virtual" and options.get("storage", "memory") == "memory"
    return is_virtual and "chaos" not in options


def _yield_name_to_package_in(*folders: Path) -> None:
    """Release the name `emulator` if one of the folders has another package or module of that name."""
    for folder in folders:
        package = folder / own_modules.NAME
        is_package = package.is_dir() and package.resolve() != own_modules.FOLDER
        if is_package or package.with_suffix(".py").is_file():
            OWN_MODULES.release_name()


@contextmanager
def _without_host_logs(config: pytest.Config) -> Iterator[None]:
    """Keep the host's log records out of pytest's "Captured log" section, which is for the user's own records."""
    # The host's lines are in the "azemu console" section already. The attribute is pytest's own, so it may be missing.
    handler = getattr(config.pluginmanager.get_plugin("logging-plugin"), "report_handler", None)
    if handler is None:
        yield
        return

    def is_user_record(record: logging.LogRecord) -> bool:
        return not isinstance(record, HostRecord)

    handler.addFilter(is_user_record)
    try:
        yield
    finally:
        handler.removeFilter(is_user_record)


def _app_of_test(node: pytest.Item, config: pytest.Config) -> tuple[Path, dict[str, Any]]:
    """Return the folder of the app and the options of the marker. Raises pytest.UsageError."""
    marker = node.get_closest_marker(_FIXTURE)
    arguments = marker.args if marker is not None else ()
    options = dict(marker.kwargs) if marker is not None else {}
    path = arguments[0] if arguments else options.pop("path", None)
    if path is not None:
        return config.rootpath / path, options
    if configured := config.getini("azemu_app"):
        # Relative to the configuration file, which is not necessarily in rootdir (pytest -c).
        base = config.inipath.parent if config.inipath is not None else config.rootpath
        return base / configured, options
    for folder in node.path.parents:
        if any((folder / name).is_file() for name in _APP_FILES):
            return folder, options
    raise pytest.UsageError(
        f"{node.nodeid}: no function app found. No folder above the test has a host.json or a function_app.py. "
        'Name the app with @pytest.mark.azemu("path/from/rootdir"), or with azemu_app in the pytest configuration.'
    )
