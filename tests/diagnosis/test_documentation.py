"""docs/why.md: the list of causes, and the example output."""

from __future__ import annotations

from pathlib import Path

from emulator.diagnosis.finding import Cause
from emulator.diagnosis.texts import TEXTS
from release.why_reference import FILE, with_causes
from tests.diagnosis.bench import Situation, in_virtual_time

APPS = """


    # The lines of the examples are those of this file.


    @app.orchestration_trigger(context_name="context")
    def order(context):
        return (yield context.wait_for_external_event("approval"))






    @app.orchestration_trigger(context_name="context")
    def trip(context):
        return (yield context.call_sub_orchestrator("payment", None, "pay-3"))



    @app.orchestration_trigger(context_name="context")
    def payment(context):
        return (yield context.wait_for_external_event("paid"))
"""


def test_every_cause_has_a_text_and_is_in_the_list() -> None:
    assert set(TEXTS) == set(Cause)
    document = FILE.read_text(encoding="utf-8")
    assert document == with_causes(document), "write it again: python -m release.why_reference"


def test_the_examples_are_what_the_command_shows(tmp_path: Path) -> None:
    async def work(s: Situation) -> None:
        await s.host()
        await s.start("order", id="order-17")
        await s.start("trip", id="trip-3")
        for instance in ("order-17", "trip-3"):
            found = await s.why(instance, Cause.EVENT_NOT_RAISED)
            first = f'"{instance}" ({found.name}) {found.sentence}.'
            assert "\n".join([first, *(f"  What to do: {advice}" for advice in found.advice)]) in FILE.read_text(
                encoding="utf-8"
            )

    in_virtual_time(tmp_path / "app", APPS, work)
