import logging


def main(context) -> None:
    """Run once on a new worker of a Premium plan, before it gets requests. Load here what requests need."""
    logging.info("This worker is warm.")
