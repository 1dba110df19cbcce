"""Names of the binding types of Microsoft's extensions, to recognise misspelt ones.

Source: docs/protocol/python-worker.md chapter 3.
"""

from __future__ import annotations

import difflib
from typing import Final

_KNOWN: Final = (
    *("httpTrigger", "http", "timerTrigger", "warmupTrigger", "manualTrigger"),
    *("queueTrigger", "queue", "blobTrigger", "blob", "table", "eventGridTrigger", "eventGrid"),
    *("orchestrationTrigger", "activityTrigger", "entityTrigger", "durableClient", "orchestrationClient"),
    *("serviceBusTrigger", "serviceBus", "eventHubTrigger", "eventHub", "kafkaTrigger", "kafka"),
    *("rabbitMQTrigger", "rabbitMQ", "cosmosDBTrigger", "cosmosDB", "sqlTrigger", "sql", "mysqlTrigger", "mysql"),
    *("kusto", "sendGrid", "twilioSms", "signalRTrigger", "signalR", "signalRConnectionInfo", "signalREndpoints"),
    *("webPubSubTrigger", "webPubSub", "webPubSubConnection", "webPubSubContext"),
    *("redisPubSubTrigger", "redisListTrigger", "redisStreamTrigger", "redis"),
    *("daprServiceInvocationTrigger", "daprBindingTrigger", "daprTopicTrigger", "daprState", "daprSecret"),
    *("daprInvoke", "daprPublish", "daprBinding", "connectorTrigger"),
    *("mcpToolTrigger", "mcpResourceTrigger", "mcpPromptTrigger", "assistantSkillTrigger", "textCompletion"),
    *("assistantCreate", "assistantQuery", "assistantPost", "embeddings", "embeddingsStore", "semanticSearch"),
)
_SPELLINGS: Final = {name.lower(): name for name in _KNOWN}
# High enough that the type of a custom extension, such as "myQueueTrigger", is not taken for a mistake.
_SIMILARITY: Final = 0.93


def similar_type(binding_type: str) -> str | None:
    """Return the known type that a misspelt one probably means; None for a known type, or one of its own."""
    folded = binding_type.lower()
    if folded in _SPELLINGS:
        return None
    near = difflib.get_close_matches(folded, _SPELLINGS, n=1, cutoff=_SIMILARITY)
    return _SPELLINGS[near[0]] if near else None
