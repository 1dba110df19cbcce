"""A stand-in for a payment provider: a file of payments, which outlives the app as a real provider does.

Like the APIs of real providers it takes an idempotency key: a second request with the same key does not charge again.
"""

import json
import os
import tempfile
from pathlib import Path


def charge(card: str, amount: int, idempotency_key: str | None = None) -> dict:
    """Charge a card and return the payment."""
    for payment in payments():
        if idempotency_key is not None and payment["key"] == idempotency_key:
            return payment
    payment = {"id": f"pay-{len(payments()) + 1}", "card": card, "amount": amount, "key": idempotency_key}
    with _file().open("a", encoding="utf-8") as file:
        file.write(json.dumps(payment) + "\n")
    return payment


def payments() -> list[dict]:
    """Return all payments, oldest first."""
    return [json.loads(line) for line in _file().read_text(encoding="utf-8").splitlines()] if _file().exists() else []


def _file() -> Path:
    return Path(os.environ.get("PAYMENTS_FILE") or Path(tempfile.gettempdir()) / "sample-payments.jsonl")
