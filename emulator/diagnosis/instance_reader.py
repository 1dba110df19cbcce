"""Reader of instances: status row and history of one, the ids of those that are not at their end, similar ids."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Sequence

from emulator.diagnosis.facts import InstanceFacts
from emulator.durable.azurestorage.tracking.hub_tables import HubTables
from emulator.durable.azurestorage.tracking.rows import UnreadableRow
from emulator.durable.core.events import HistoryEvent
from emulator.durable.core.identity import RuntimeStatus, is_entity
from emulator.durable.hub import InstanceQuery
from emulator.storage.port import NotFound, StorageError

_OPEN = frozenset({RuntimeStatus.PENDING, RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED})
# Ids that a misspelled one is compared with.
_MOST_COMPARED = 1000
_MOST_SIMILAR = 3
# The most that the service returns at once.
_PAGE = 1000


async def read_instance(tables: HubTables, instance_id: str) -> InstanceFacts:
    """Return an instance, without its position. Raises StorageUnreachable."""
    # Row before history: checkpoints write them the other way round, so the history is not older than the row.
    status = await tables.status(instance_id, with_input=False)
    events: Sequence[HistoryEvent] = ()
    unreadable = ""
    try:
        events = await tables.history(instance_id)
    except NotFound:
        # The table does not exist, or the blob of a large column.
        unreadable = "a blob with a part of its history is missing" if status is not None else ""
    except (UnreadableRow, StorageError) as error:
        unreadable = str(error)
    return InstanceFacts(instance_id=instance_id, status=status, events=events, unreadable=unreadable)


async def open_instances(tables: HubTables) -> AsyncIterator[str]:
    """Yield the ids of orchestrations that have not ended."""
    query = InstanceQuery(statuses=_OPEN, with_input=False, with_output=False, limit=_PAGE)
    async for page in tables.pages(query):
        for row in page.instances:
            if not is_entity(row.instance_id):
                yield row.instance_id


async def similar_ids(tables: HubTables, instance_id: str) -> Sequence[str]:
    """Return ids of instances that look like this one, the most similar first."""
    page = await tables.query(InstanceQuery(with_input=False, with_output=False, limit=_MOST_COMPARED))
    ids = {row.instance_id.lower(): row.instance_id for row in page.instances}
    near = difflib.get_close_matches(instance_id.lower(), ids, n=_MOST_SIMILAR, cutoff=0.6)
    # An id that was copied incompletely is a beginning of the right one.
    begun = [key for key in ids if key.startswith(instance_id.lower())]
    return [ids[key] for key in dict.fromkeys((*begun, *near))][:_MOST_SIMILAR]
