import logging


def main(part: str) -> str:
    logging.info("Cancelling %s.", part)
    return f"{part} cancelled"
