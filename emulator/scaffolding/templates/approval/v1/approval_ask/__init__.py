import logging


def main(request: dict) -> str:
    """Log the question. A real app would send a message."""
    question = f'Please decide on "{request["title"]}".'
    logging.info("%s", question)
    return question
