import logging

import azure.functions as func


def main(source: func.InputStream, target: func.Out[str]) -> None:
    """Run for each new or changed text in the container "uploads", and write another blob."""
    text = source.read().decode()
    logging.info("Blob %s has %d characters.", source.name, len(text))
    target.set(text.upper())
