"""Timer function: count the pictures of the day."""

from __future__ import annotations

import logging

import azure.functions as func

nightly = func.Blueprint()


@nightly.function_name(name="nightly-report")
@nightly.timer_trigger(arg_name="timer", schedule="%REPORT_SCHEDULE%")
def report(timer: func.TimerRequest) -> None:
    logging.info("The report is %s.", "late" if timer.past_due else "in time")
