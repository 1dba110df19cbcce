"""Run once a week."""

import logging

import azure.functions as func


def main(timer: func.TimerRequest) -> None:
    logging.info("Cleaned up%s.", " late" if timer.past_due else "")
