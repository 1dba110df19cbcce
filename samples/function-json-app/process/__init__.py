"""Write the summary of a document."""

import azure.functions as func

from ..shared.texts import summary as summary_of


def main(message: func.QueueMessage, summary: func.Out[str]) -> None:
    summary.set(summary_of(message.get_json()["text"]))
