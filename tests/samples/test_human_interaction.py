"""A document's approval: decided in time, escalated after 72 hours, expired after four days."""

from datetime import timedelta

import pytest

from emulator.testing import AppUnderTest, SyncAppUnderTest

pytestmark = pytest.mark.azemu("samples/human-interaction")

DOCUMENT = {"title": "Budget", "approver": "ada", "manager": "grace"}


async def submitted(app: AppUnderTest) -> str:
    answer = await app.post("/api/documents", json=DOCUMENT)
    assert answer.status == 202
    await app.run_until_idle(limit=timedelta(0))
    return str(answer.json()["id"])


async def decide(app: AppUnderTest, document: str, by: str, approved: bool) -> int:
    answer = await app.post(f"/api/documents/{document}/decision", json={"by": by, "approved": approved})
    return answer.status


@pytest.mark.parametrize(("approved", "result"), [(True, "approved"), (False, "rejected")])
async def test_the_approver_decides_in_time(azemu: AppUnderTest, approved: bool, result: str) -> None:
    document = await submitted(azemu)
    await azemu.advance(hours=71)
    assert await decide(azemu, document, "ada", approved) == 202
    status = await azemu.wait(document)
    assert status.output == {"title": "Budget", "result": result, "by": "ada"}
    assert await decide(azemu, document, "ada", approved) == 409


async def test_after_72_hours_the_manager_is_asked(azemu: AppUnderTest) -> None:
    document = await submitted(azemu)
    await azemu.advance(hours=72, seconds=1)
    status = await azemu.client.get_status(document)
    assert status.custom_status == "waiting for grace"
    assert await decide(azemu, document, "grace", True) == 202
    status = await azemu.wait(document)
    assert status.output == {"title": "Budget", "result": "approved", "by": "grace"}
    assert [line.message for line in azemu.logs if "please decide" in line.message] == [
        'ada, please decide on "Budget".',
        'grace, please decide on "Budget".',
    ]


async def test_without_any_answer_the_document_expires_after_four_days(azemu: AppUnderTest) -> None:
    begin = azemu.now
    status = await azemu.wait(await submitted(azemu))
    assert status.output == {"title": "Budget", "result": "expired", "by": None}
    assert timedelta(hours=96) <= azemu.now - begin < timedelta(hours=96, seconds=1)


def test_the_same_without_await(azemu: SyncAppUnderTest) -> None:
    document = azemu.post("/api/documents", json=DOCUMENT).json()["id"]
    azemu.run_until_idle(limit=timedelta(0))
    azemu.client.raise_event(document, "decision", {"by": "ada", "approved": True})
    assert azemu.wait(document).output["result"] == "approved"


async def test_requests_that_make_no_sense_are_refused(azemu: AppUnderTest) -> None:
    assert (await azemu.post("/api/documents", json={"title": "Budget"})).status == 400
    assert await decide(azemu, "unknown", "ada", True) == 404
    document = await submitted(azemu)
    assert (await azemu.post(f"/api/documents/{document}/decision", json={"by": "ada"})).status == 400
