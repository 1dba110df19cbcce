"""Messages for queue triggers."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from emulator.app import App
from emulator.config.unused_options import QueueMessageEncoding


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuesOptions:
    """extensions.queues of host.json, as far as it concerns the content of messages."""

    section_name: ClassVar[str] = "queues"

    message_encoding: QueueMessageEncoding = QueueMessageEncoding.BASE64


async def put_message(app: App, connection: str, queue: str, content: object, hidden: timedelta) -> None:
    """Put it as the app's queue triggers read it; the queue is made if it is not there."""
    target = app.accounts(connection).queue(queue)
    await target.create()
    encoding = app.configuration.host.section(QueuesOptions).message_encoding
    await target.put(_encoded(content, encoding), visible_in=hidden)


def _encoded(content: object, encoding: QueueMessageEncoding) -> str:
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    if encoding is QueueMessageEncoding.BASE64:
        return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()
    return content if isinstance(content, str) else content.decode()
