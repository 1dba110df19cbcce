"""The pytest plugin, tested with separate pytest runs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from textwrap import dedent
from urllib.request import urlopen

import pytest

from tests.running_apps import DURABLE_APP, write_app
from tests.testing.apps import SHOP

pytest_plugins = ["pytester"]

# An editable installation may be older than the entry point; then the plugin is loaded by its module name.
PLUGIN = ("-p", "azemu" if entry_points(group="pytest11", name="azemu") else "emulator.pytest_plugin")
ORDER = """
    import pytest

    async def test_in_a_coroutine(azemu):
        azemu.replace("send", lambda item: "faked")
        status = await azemu.wait(await azemu.client.start_new("order", client_input={"name": "book"}))
        assert status.output == "faked"

    def test_in_a_function(azemu):
        status = azemu.wait(azemu.client.start_new("order", client_input={"name": "book"}))
        assert status.output == "book sent"
"""


def run(pytester: pytest.Pytester, *arguments: str, in_process: bool = False) -> pytest.RunResult:
    """Run pytest. `in_process`: in this process, which saves the time of its imports."""
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        asyncio_mode = "auto"
        asyncio_default_fixture_loop_scope = "function"
        """
    )
    run_pytest = pytester.runpytest_inprocess if in_process else pytester.runpytest_subprocess
    return run_pytest(*PLUGIN, "-p", "no:cacheprovider", *arguments)


def test_app_in_a_folder_above_the_test_is_used(pytester: pytest.Pytester) -> None:
    write_app(pytester.path, DURABLE_APP, SHOP)
    (pytester.mkdir("tests") / "test_order.py").write_text(ORDER.replace("\n    ", "\n"))
    run(pytester, in_process=True).assert_outcomes(passed=2)


def test_coroutines_need_no_other_plugin(pytester: pytest.Pytester) -> None:
    write_app(pytester.path, DURABLE_APP, SHOP)
    pytester.makepyfile(ORDER)
    pytester.runpytest_inprocess(*PLUGIN, "-p", "no:asyncio", "-p", "no:anyio").assert_outcomes(passed=2)


def test_unittest_classes_and_anyio(pytester: pytest.Pytester) -> None:
    write_app(pytester.path, DURABLE_APP, SHOP)
    pytester.makepyfile(
        """
        import unittest
        import pytest

        class Old(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _app(self, azemu):
                self.app = azemu

            def test_order(self):
                self.assertEqual(self.app.wait(self.app.client.start_new("reminder")).output, "reminded")

        class OldCoroutines(unittest.IsolatedAsyncioTestCase):
            @pytest.fixture(autouse=True)
            def _app(self, azemu):
                self.app = azemu

            async def test_order(self):
                status = await self.app.wait(await self.app.client.start_new("reminder"))
                self.assertEqual(status.output, "reminded")

        @pytest.mark.anyio
        async def test_anyio(azemu):
            status = await azemu.wait(await azemu.client.start_new("reminder"))
            assert status.output == "reminded"

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
        """
    )
    pytester.runpytest_inprocess(*PLUGIN, "-p", "no:asyncio").assert_outcomes(passed=3)


def test_app_sees_modules_that_a_test_has_patched(pytester: pytest.Pytester) -> None:
    write_app(
        pytester.path, DURABLE_APP, "import parcels\n", SHOP.replace("f\"{item['name']} sent\"", "parcels.send(item)")
    )
    pytester.makepyfile(parcels="def send(item):\n    return 'really sent'\n")
    pytester.makepyfile(
        """
        import parcels

        def outcome(azemu):
            return azemu.wait(azemu.client.start_new("order", client_input={"name": "book"})).output

        def test_patched(azemu, monkeypatch):
            monkeypatch.setattr(parcels, "send", lambda item: "patched")
            assert outcome(azemu) == "patched"

        def test_not_patched(azemu):
            assert outcome(azemu) == "really sent"
        """
    )
    run(pytester, "-o", "pythonpath=.", in_process=True).assert_outcomes(passed=2)


def test_marker_selects_the_app_and_its_options(pytester: pytest.Pytester) -> None:
    write_app(pytester.path / "shop", DURABLE_APP, SHOP)
    pytester.makepyfile(
        """
        import os
        from datetime import datetime, timezone
        import pytest

        NOW = datetime(2026, 3, 1, tzinfo=timezone.utc)

        @pytest.mark.azemu("shop", now=NOW, settings={"REGION": "moon"})
        def test_marked(azemu):
            assert azemu.now == NOW
            assert os.environ["REGION"] == "moon"
        """
    )
    run(pytester, "--strict-markers", in_process=True).assert_outcomes(passed=1)


def test_configuration_selects_the_app(pytester: pytest.Pytester) -> None:
    write_app(pytester.path / "shop", DURABLE_APP, SHOP)
    pytester.makepyfile(ORDER)
    run(pytester, "-o", "azemu_app=shop", in_process=True).assert_outcomes(passed=2)


def test_missing_app_is_an_error_with_advice(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_lost(azemu): pass")
    result = run(pytester, in_process=True)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no function app found*azemu_app*"])


def test_report_of_a_failed_test_has_the_console(pytester: pytest.Pytester) -> None:
    write_app(pytester.path, DURABLE_APP, SHOP)
    pytester.makepyfile(
        """
        def test_fails(azemu):
            azemu.wait(azemu.client.start_new("order", client_input={"name": "book"}))
            assert False
        """
    )
    result = run(pytester, in_process=True)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*azemu console*", "*sending book"])
    result.stdout.no_fnmatch_line("*emulator.*.py:*")  # The host's records are in its console only.


LATER = """
    def test_too_soon(azemu):
        azemu.wait("no-such-instance")

    def test_unknown_orchestrator(azemu):
        azemu.client.start_new("ordr")

    async def test_await_is_missing(azemu):
        await azemu.wait(azemu.client.start_new("order", client_input={"name": "book"}))
"""


def test_errors_for_the_user_end_at_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    write_app(pytester.path, DURABLE_APP, SHOP)
    pytester.makepyfile(LATER)
    result = run(pytester, in_process=True)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            '>*azemu.wait("no-such-instance")',
            '*NothingLeft: *"no-such-instance"*it does not exist*',
            '>*azemu.client.start_new("ordr")',
            "*The function 'ordr' doesn't exist*",
            ">*await azemu.wait(azemu.client*",
            "*NotAnInstanceId: *type coroutine. `await` is missing*",
        ]
    )
    # Neither the code of azemu nor that of the SDK.
    result.stdout.no_fnmatch_line("*def *wait_for_end*")
    result.stdout.no_fnmatch_line("*status_code*")
    whole = run(pytester, "--full-trace", "-k", "too_soon", in_process=True)
    whole.stdout.fnmatch_lines(["*def wait_for_end*"])


def test_report_has_the_last_lines_of_a_long_console(pytester: pytest.Pytester) -> None:
    write_app(pytester.path, DURABLE_APP, SHOP)
    pytester.makepyfile(
        """
        def test_fails(azemu):
            for number in range(15):
                azemu.wait(azemu.client.start_new("order", client_input={"name": f"book {number}."}))
            assert False
        """
    )
    result = run(pytester, in_process=True)
    result.stdout.fnmatch_lines(["*azemu console*", "(* earlier lines are left out. `pytest -vv` shows all.)"])
    result.stdout.fnmatch_lines(["*sending book 14."])
    result.stdout.no_fnmatch_line("*sending book 0.")
    everything = run(pytester, "-vv", in_process=True)
    everything.stdout.fnmatch_lines(["*azemu console*", "*sending book 0.", "*sending book 14."])


def test_app_errors_are_reported_without_traceback(
    pytester: pytest.Pytester,
) -> None:
    write_app(pytester.path / "broken", DURABLE_APP, "import there_is_no_such_module\n")
    write_app(
        pytester.path / "changing",
        DURABLE_APP,
        """
        @app.orchestration_trigger(context_name="context")
        def sleepless(context):
            return time.time()
        """,
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.azemu("broken")
        def test_broken(azemu):
            pass

        @pytest.mark.azemu("no/such/folder")
        def test_missing(azemu):
            pass

        @pytest.mark.azemu("changing")
        def test_changing(azemu):
            azemu.wait(azemu.client.start_new("sleepless"))
        """
    )
    result = run(pytester, in_process=True)
    result.assert_outcomes(errors=3, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*No module named 'there_is_no_such_module'*",
            f"The app folder '{pytester.path / 'no' / 'such' / 'folder'}' does not exist. Pass the folder that*",
            '*orchestrator "sleepless" calls time() at *function_app.py:*: use context*',
        ]
    )
    result.stdout.no_fnmatch_line("*start_sync*")


@pytest.mark.soak
def test_xdist_runs_tests_in_parallel(pytester: pytest.Pytester) -> None:
    write_app(pytester.path, DURABLE_APP, SHOP)
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_order(azemu, number):
            status = azemu.wait(azemu.client.start_new("reminder", instance_id="same"))
            assert status.output == "reminded"
        """
    )
    run(pytester, "-n", "2").assert_outcomes(passed=6)


def test_plugin_imports_nothing_if_the_fixture_is_not_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_small():
            loaded = {name for name in sys.modules if name.startswith(("emulator.", "aiohttp"))}
            assert loaded == {
                f"emulator.{name}"
                for name in ("pytest_plugin", "own_modules", "logs", "bound_json", "random_numbers")
            }
        """
    )
    run(pytester).assert_outcomes(passed=1)


# `python -m pytest` puts the current folder first on the import path; the command `pytest`, like -P, does not.
@pytest.mark.parametrize("interpreter", [(sys.executable,), (sys.executable, "-P")], ids=["python -m", "pytest"])
def test_app_has_a_package_with_the_name_of_azemus(pytester: pytest.Pytester, interpreter: tuple[str, ...]) -> None:
    code = SHOP.replace("f\"{item['name']} sent\"", "VERB + item['name']")
    write_app(pytester.path, DURABLE_APP, "from emulator.words import VERB\n", code)
    (pytester.mkpydir("emulator") / "words.py").write_text("VERB = 'sent: '")
    (pytester.mkpydir("tests") / "test_words.py").write_text(
        dedent(
            """
            from unittest import mock
            from emulator.testing import start
            from emulator.words import VERB

            def test_fixture(azemu):
                with mock.patch("emulator.words.VERB", "ignored"):
                    status = azemu.wait(azemu.client.start_new("order", client_input={"name": "book"}))
                assert status.output == VERB + "book" == "sent: book"

            async def test_start():
                async with start(".") as app:
                    assert (await app.get("/api/order/book")).status == 202

            def test_again(azemu):
                import emulator.words
                assert azemu.get("/api/order/book").status == 202
                assert emulator.words.VERB == VERB
            """
        )
    )
    if not entry_points(group="pytest11", name="azemu"):
        pytest.skip("needs an installed azemu: the plugin's own module cannot be named here")
    options = ("-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    result = pytester.run(*interpreter, "-m", "pytest", *options)
    result.assert_outcomes(passed=3)


CHARGING = """
@app.orchestration_trigger(context_name="context")
def checkout(context):
    return (yield context.call_activity("pay", None))


@app.activity_trigger(input_name="nothing")
def pay(nothing) -> str:
    with open(os.environ["PAYMENTS"], "a") as payments:
        payments.write("paid ")
    return "paid"
"""
CHECKOUT = """
    import pytest

    modules = []

    @pytest.fixture(scope="module", autouse=True)
    def module():
        modules.append("set up")
        yield
        print("torn down")

    @pytest.fixture
    def payments(tmp_path, monkeypatch):
        monkeypatch.setenv("PAYMENTS", str(tmp_path / "payments.txt"))
        return tmp_path / "payments.txt"

    def test_it_is_paid_once(payments, azemu):
        assert azemu.wait(azemu.client.start_new("checkout")).output == "paid"
        assert payments.read_text() == "paid "

    async def test_it_is_paid(payments, azemu):
        assert (await azemu.wait(await azemu.client.start_new("checkout"))).output == "paid"
        assert azemu.console.count("Host started") <= 4

    def test_without_the_app():
        assert modules == ["set up"]

    @pytest.mark.azemu(clock="real")
    def test_in_real_time(payments, azemu):
        with pytest.raises(Exception, match="without chaos"):
            azemu.chaos_report()
"""


def test_each_test_runs_under_seeds_until_one_fails(pytester: pytest.Pytester) -> None:
    write_app(pytester.path, DURABLE_APP, CHARGING)
    pytester.makepyfile(test_checkout=CHECKOUT)
    result = run(pytester, "--azemu-chaos=40", "-k", "paid_once or real_time or without_the_app", in_process=True)
    result.assert_outcomes(passed=2, failed=1)
    [found] = [line for line in result.outlines if line.startswith("The test fails under seed ")]
    seed = int(found.removeprefix("The test fails under seed ").partition(".")[0])
    command = f'pytest "test_checkout.py::test_it_is_paid_once" --azemu-chaos-seed={seed}'
    result.stdout.fnmatch_lines([command])
    repeated = run(pytester, "test_checkout.py::test_it_is_paid_once", f"--azemu-chaos-seed={seed}", in_process=True)
    repeated.assert_outcomes(failed=1)


@pytest.mark.soak
def test_a_correct_test_passes_under_all_seeds_also_in_processes_of_xdist(pytester: pytest.Pytester) -> None:
    write_app(pytester.path, DURABLE_APP, CHARGING)
    pytester.makepyfile(test_checkout=CHECKOUT)
    result = run(pytester, "--azemu-chaos=3", "-n", "1", "-k", "it_is_paid and not once or without_the_app")
    result.assert_outcomes(passed=2)


def test_a_wrong_number_of_seeds_is_refused(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--azemu-chaos=many", in_process=True)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'many' is not a number of seeds. Use 1 or more, for example 100."])


def test_the_app_of_a_failed_test_is_held_open(pytester: pytest.Pytester) -> None:
    write_app(pytester.path)
    pytester.makepyfile(
        """
        def test_passes(azemu):
            pass

        def test_fails(azemu):
            assert azemu.get("/api/hello").text == "goodbye"
        """
    )
    command = (sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider", "--azemu-hold")
    process = pytester.popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    line = next(line for line in process.stdout if "Its app is open" in line)
    assert "test_fails has failed" in line
    url = line.rpartition(" ")[2].strip()
    with urlopen(f"{url}api/home") as response:
        home = json.load(response)
    assert (home["state"], home["startedInvocations"], home["isVirtualTime"]) == ("Running", 1, True)
    rest, _ = process.communicate("\n", timeout=60)
    assert "1 failed, 1 passed" in rest
    assert "Its app is open" not in rest
