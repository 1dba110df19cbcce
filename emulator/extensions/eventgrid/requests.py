"""Events of Event Grid as those of a trigger, and the answer to the handshake of CloudEvents.

Source: Extensions.EventGrid, EventGridExtensionConfigProvider; docs/protocol/functions-host.md 8.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from emulator.dotnet.format_strings import format_date
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.host.port import TriggerEvent
from emulator.host.trigger_metadata import metadata_datum
from emulator.worker.port import Datum

# The senders of the clouds. Extensions before 3.4.3 know only the first.
_ORIGINS: Final = ("eventgrid.azure.net", "eventgrid.azure.us", "eventgrid.azure.cn")


def allowed_origin(requested: str | None) -> str:
    """Return the answer to the handshake of CloudEvents: the origin that asks, if it is one of Event Grid's."""
    return requested.lower() if requested and requested.lower() in _ORIGINS else _ORIGINS[0]


def trigger_event(event: Mapping[str, Any], fired_at: datetime | None = None) -> TriggerEvent:
    """Return the event of a trigger. Its only binding data is `data`; dates in it stay as they are.

    `fired_at`: UTC; None for a manual invocation.
    """
    data = event.get("data")
    made = TriggerEvent(
        value=Datum("json", newtonsoft_text(event)),
        metadata={} if data is None else {"data": metadata_datum(data, newtonsoft_text)},
        binding_data={"data": data},
    )
    if fired_at is None:
        return made
    local_time = format_date(fired_at.astimezone(), "yyyy-MM-ddTHH:mm:ss.fffffffzzz")
    return replace(made, reason=f"EventGrid trigger fired at {local_time}")
