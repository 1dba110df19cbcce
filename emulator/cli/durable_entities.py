"""Commands `azemu durable entities` and `azemu durable signal`."""

from __future__ import annotations

import sys
from typing import Final

from emulator import bound_json as json
from emulator.cli.data_arguments import input_body
from emulator.cli.durable_access import DurableApi, RequestRefused, call
from emulator.cli.durable_arguments import ListEntities, Signal
from emulator.cli.durable_lists import ListFormat, entity_pages, print_list
from emulator.cli.printing import one_line, print_json

_SHOWN_STATE: Final = 100


async def list_entities(api: DurableApi, command: ListEntities) -> None:
    """Run `azemu durable entities`."""
    shown_as = ListFormat(
        member="entities",
        titles=("ENTITY", "LAST OPERATION", "STATE"),
        row=lambda item: (
            f"{item['entityId']['name']}@{item['entityId']['key']}",
            item["lastOperationTime"][:19] + "Z",
            one_line(json.dumps(item["state"], ensure_ascii=False), _SHOWN_STATE),
        ),
        none="There are no entities.",
    )
    pages = entity_pages(api, command.name, top=command.top)
    await print_list(pages, shown_as, top=command.top, as_json=command.json)


async def signal_entity(api: DurableApi, command: Signal) -> None:
    """Run `azemu durable signal`."""
    body = b"" if command.data is None else input_body(command.data)
    response = await call(api, "POST", ("entities", command.name, command.key), {"op": command.operation}, body=body)
    # The route refuses names and keys that no entity can have.
    if response.status == 404:
        raise RequestRefused(f"The {api.description} has no entity '{command.name}@{command.key}'.")
    if command.json:
        entity = {"name": command.name.lower(), "key": command.key}
        print_json({"operation": "signal", "entityId": entity})
    else:
        sys.stderr.write(f"Sent '{command.operation}' to {command.name}@{command.key}.{api.note}\n")
