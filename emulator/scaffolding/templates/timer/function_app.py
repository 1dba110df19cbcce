import logging

import azure.functions as func

app = func.FunctionApp()


# Second, minute, hour, day, month, day of the week: every five minutes.
@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *", run_on_startup=False)
def clean_up(timer: func.TimerRequest) -> None:
    if timer.past_due:
        logging.warning("The timer is late.")
    logging.info("The timer has fired.")
