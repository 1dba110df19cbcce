"""The checkout under chaos: without an idempotency key a card is charged twice, with it never."""

import json
from pathlib import Path

import pytest

from emulator.testing import Chaos, ChaosReport, SyncAppUnderTest, start_sync

SAMPLES = Path(__file__).parents[2] / "samples"

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


def test_chaos_finds_the_double_charge(tmp_path: Path) -> None:
    for seed in range(40):
        payments, report = payments_of("careless_checkout", seed, tmp_path)
        if len(payments) > 1:
            break
    assert len(payments) > 1
    assert {payment["amount"] for payment in payments} == {300}
    [repeated] = [each for each in report.repeated if each.call.function == "charge_without_key"]
    assert repeated.times == len(payments)
    assert any("provider.py" in effect for effect in repeated.effects)


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 100), marks=pytest.mark.soak)])
def test_with_an_idempotency_key_no_seed_charges_twice(seeds: range, tmp_path: Path) -> None:
    for seed in seeds:
        payments, _ = payments_of("checkout", seed, tmp_path)
        assert len(payments) == 1, f"seed {seed}"
