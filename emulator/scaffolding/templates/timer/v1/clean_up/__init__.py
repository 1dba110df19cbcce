import logging

import azure.functions as func


def main(timer: func.TimerRequest) -> None:
    if timer.past_due:
        logging.warning("The timer is late.")
    logging.info("The timer has fired.")
