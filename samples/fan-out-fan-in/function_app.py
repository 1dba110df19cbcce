"""Fan-out, fan-in: run many activities at the same time and combine their results.

An activity counts the words of each text. When all are done, the counts are added.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

WORD = re.compile(r"[^\W\d_]+")


@app.route(route="word-counts", methods=["POST"])
@app.durable_client_input(client_name="client")
async def count(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Body: a JSON list of texts."""
    try:
        texts = req.get_json()
    except ValueError:
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return func.HttpResponse(
            json.dumps({"error": "The body must be a JSON list of texts."}),
            status_code=400,
            mimetype="application/json",
        )
    instance_id = await client.start_new("count_words", client_input=texts)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def count_words(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    texts = context.get_input()
    counts = yield context.task_all([context.call_activity("count_text", text) for text in texts])
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    most = sorted(total.items(), key=lambda entry: (-entry[1], entry[0]))[:5]
    return {"texts": len(texts), "words": sum(total.values()), "most frequent": dict(most)}


@app.activity_trigger(input_name="text")
def count_text(text: str) -> dict[str, int]:
    return Counter(WORD.findall(text.lower()))
