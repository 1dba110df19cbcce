"""The checkout under chaos: without an idempotency key a card is charged twice, with it never."""

import json
import re
import shutil
from pathlib import Path

import pytest

from emulator.testing import Chaos, ChaosReport, SyncAppUnderTest, start_sync
from tests.doc_sessions import Placeholders, session_of
from tests.testing.test_plugin import run

pytest_plugins = ["pytester"]

SAMPLES = Path(__file__).parents[2] / "samples"
PAGE = SAMPLES.parent / "docs" / "chaos.md"

CARELESS = """
import pytest

ORDER = {"item": "desk", "card": "4242", "amount": 300}

@pytest.fixture
def payments(tmp_path, monkeypatch):
    monkeypatch.setenv("PAYMENTS_FILE", str(tmp_path / "payments.jsonl"))
    return tmp_path / "payments.jsonl"

def test_a_card_is_charged_once(payments, azemu):
    azemu.wait(azemu.client.start_new("careless_checkout", client_input=ORDER))
    assert len(payments.read_text().splitlines()) == 1
"""

ORDER = {"item": "desk", "card": "4242", "amount": 300}


def payments_of(checkout: str, seed: int, folder: Path) -> tuple[list[dict[str, object]], ChaosReport]:
    """Run a checkout under a seed. Return the payments that were made."""
    file = folder / f"payments-{seed}.jsonl"
    with start_sync(SAMPLES / "payments", chaos=Chaos(seed), settings={"PAYMENTS_FILE": str(file)}) as app:
        app.wait(app.client.start_new(checkout, client_input=ORDER))
        report = app.chaos_report()
    return [json.loads(line) for line in file.read_text().splitlines()], report


@pytest.fixture
def payments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PAYMENTS_FILE", str(tmp_path / "payments.jsonl"))
    return tmp_path / "payments.jsonl"


@pytest.mark.azemu("samples/payments")
def test_a_card_is_charged_once(payments: Path, azemu: SyncAppUnderTest) -> None:
    status = azemu.wait(azemu.client.start_new("checkout", client_input=ORDER))
    assert status.output == "desk shipped for pay-1"
    assert len(payments.read_text().splitlines()) == 1


def test_pytest_prints_what_the_page_shows(pytester: pytest.Pytester) -> None:
    shutil.copytree(SAMPLES / "payments", pytester.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    (pytester.path / "test_payments.py").write_text(CARELESS)
    run(pytester, "test_payments.py", in_process=True).assert_outcomes(passed=1)
    [step] = session_of(PAGE)
    printed = run(pytester, *step.words[1:], in_process=True).stdout.str()
    assert Placeholders().matches(step.output, printed), f"{PAGE.name} does not show this:\n{printed}"
    # The text below the command.
    [(seed, times)] = re.findall(r"seed (\d+) charges (\w+) times", PAGE.read_text(encoding="utf-8"))
    payments, report = payments_of("careless_checkout", int(seed), pytester.path)
    assert len(payments) == ["two", "three", "four", "five"].index(times) + 2
    assert {payment["amount"] for payment in payments} == {300}
    assert any("the host crashed" in str(fault) for fault in report.faults)
    assert [each.times for each in report.repeated if each.call.function == "charge_without_key"] == [len(payments)]


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 100), marks=pytest.mark.soak)])
def test_with_an_idempotency_key_no_seed_charges_twice(seeds: range, tmp_path: Path) -> None:
    for seed in seeds:
        payments, _ = payments_of("checkout", seed, tmp_path)
        assert len(payments) == 1, f"seed {seed}"
