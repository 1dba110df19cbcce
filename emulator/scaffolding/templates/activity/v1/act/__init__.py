import logging


def main(value: str) -> str:
    """Do one step of an orchestration, which calls it with context.call_activity. It may run more than once."""
    logging.info("Activity called with %s.", value)
    return f"Hello, {value}."
