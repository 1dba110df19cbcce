"""Function chaining: call activities one after the other, each with the result of the one before.

Activities clean up a press release, shorten it and write a headline. If the host stops between two of them, the next
host continues with the next activity. Finished activities do not run again.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

TEASER_WORDS = 12


@app.route(route="releases", methods=["POST"])
@app.durable_client_input(client_name="client")
async def submit_release(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Start the orchestration for a text."""
    text = req.get_body().decode("utf-8", "replace")
    if not text.strip():
        return func.HttpResponse("Send the text of the release as the body.", status_code=400)
    instance_id = await client.start_new("prepare_release", client_input=text)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def prepare_release(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, str]]:
    clean = yield context.call_activity("clean_up", context.get_input())
    teaser = yield context.call_activity("shorten", clean)
    headline = yield context.call_activity("write_headline", teaser)
    return {"headline": headline, "teaser": teaser, "text": clean}


@app.activity_trigger(input_name="text")
def clean_up(text: str) -> str:
    """Separate words by one space and end the text with a full stop."""
    words = " ".join(text.split())
    return words if words.endswith((".", "!", "?")) else f"{words}."


@app.activity_trigger(input_name="text")
def shorten(text: str) -> str:
    words = text.split()
    return text if len(words) <= TEASER_WORDS else " ".join(words[:TEASER_WORDS]).rstrip(".,;:") + " …"


@app.activity_trigger(input_name="teaser")
def write_headline(teaser: str) -> str:
    """Return the first clause, with a capital letter at each word."""
    clause = re.split(r"[.,;:!?…]", teaser, maxsplit=1)[0]
    return " ".join(word[:1].upper() + word[1:] for word in clause.split())
