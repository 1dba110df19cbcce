"""A document's approval: decided in time, escalated after 72 hours, expired after four days."""

from datetime import timedelta
from pathlib import Path

import pytest

from emulator.testing import AppUnderTest, start

SAMPLE = Path(__file__).parents[2] / "samples" / "human-interaction"
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
async def test_the_approver_decides_in_time(approved: bool, result: str) -> None:
    async with start(SAMPLE) as app:
        document = await submitted(app)
        await app.advance(hours=71)
        assert await decide(app, document, "ada", approved) == 202
        status = await app.wait(document)
        assert status.output == {"title": "Budget", "result": result, "by": "ada"}
        assert await decide(app, document, "ada", approved) == 409


async def test_after_72_hours_the_manager_is_asked() -> None:
    async with start(SAMPLE) as app:
        document = await submitted(app)
        await app.advance(hours=72, seconds=1)
        status = await app.client.get_status(document)
        assert status.custom_status == "waiting for grace"
        assert await decide(app, document, "grace", True) == 202
        status = await app.wait(document)
        assert status.output == {"title": "Budget", "result": "approved", "by": "grace"}
        assert [line.message for line in app.logs if "please decide" in line.message] == [
            'ada, please decide on "Budget".',
            'grace, please decide on "Budget".',
        ]


async def test_without_any_answer_the_document_expires_after_four_days() -> None:
    async with start(SAMPLE) as app:
        begin = app.now
        status = await app.wait(await submitted(app))
        assert status.output == {"title": "Budget", "result": "expired", "by": None}
        assert timedelta(hours=96) <= app.now - begin < timedelta(hours=96, seconds=1)


async def test_requests_that_make_no_sense_are_refused() -> None:
    async with start(SAMPLE) as app:
        assert (await app.post("/api/documents", json={"title": "Budget"})).status == 400
        assert await decide(app, "unknown", "ada", True) == 404
        document = await submitted(app)
        assert (await app.post(f"/api/documents/{document}/decision", json={"by": "ada"})).status == 400
