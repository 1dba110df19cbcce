"""Requests between two instances arrive once and in order, whatever the queue does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from emulator.durable.core.entities.messages import Request
from emulator.durable.core.entities.sorter import MessageSorter
from emulator.instant import Instant

WINDOW = timedelta(minutes=30)
NOON = Instant.parse("2026-03-01T12:00:00Z")
MINUTE = timedelta(minutes=1)


def sent(
    *times: Instant, parent: str = "i1", execution: str | None = "e1", sorter: MessageSorter | None = None
) -> list[Request]:
    """Requests of one sender to one entity at these times."""
    sorter = sorter or MessageSorter(WINDOW)
    return [
        sorter.label(Request(id=f"{parent}-{number}", parent=parent, parent_execution=execution), "@counter@k", time)
        for number, time in enumerate(times)
    ]


def ids(requests: Sequence[Request]) -> list[str]:
    return [request.id for request in requests]


def stored(sorter: MessageSorter) -> MessageSorter:
    """As it comes back from the entity's state."""
    return MessageSorter.from_members(json.loads(json.dumps(sorter.members())), WINDOW)


@given(st.data())
def test_each_request_is_delivered_once_and_in_order(data: st.DataObject) -> None:
    senders = {
        name: sent(*[NOON] * data.draw(st.integers(1, 4)), parent=name, execution=execution)
        for name, execution in (("i1", "e1"), ("i2", "e2"), ("@other@k", None))
    }
    everything = [request for requests in senders.values() for request in requests]
    arriving = data.draw(st.permutations(everything + data.draw(st.lists(st.sampled_from(everything), max_size=5))))

    sorter, delivered = MessageSorter(WINDOW), []
    for request in arriving:
        delivered += sorter.receive(request)
        sorter = stored(sorter)

    for name, requests in senders.items():
        assert [request.id for request in delivered if request.parent == name] == ids(requests)


def test_messages_of_one_moment_are_a_tick_apart_and_lose_their_z() -> None:
    """As .NET writes them: adding a tick forgets that the time is UTC."""
    first, second, third = sent(NOON, NOON, NOON)
    assert first.timestamp.text == "2026-03-01T12:00:00Z"
    assert (second.timestamp.text, second.predecessor.text) == (
        "2026-03-01T12:00:00.0000001",
        "2026-03-01T12:00:00Z",
    )
    assert third.predecessor.text == "2026-03-01T12:00:00.0000001"


def test_a_request_that_came_too_early_is_held_until_the_one_before_it() -> None:
    first, second = sent(NOON, NOON + MINUTE)
    sorter = MessageSorter(WINDOW)
    assert sorter.receive(second) == []
    assert "Buffered" in sorter.members()["ReceivedFromInstance"]["i1"]
    assert stored(sorter).receive(first) == [first, second]


def test_another_execution_of_the_sender_begins_anew_and_releases_what_was_held() -> None:
    _, held = sent(NOON, NOON)
    [fresh] = sent(NOON + MINUTE, execution="e2")
    sorter = MessageSorter(WINDOW)
    sorter.receive(held)
    assert sorter.receive(fresh) == [held, fresh]


def test_what_is_older_than_the_window_passes_unsorted() -> None:
    _, late = sent(NOON, NOON + MINUTE)
    [newest] = sent(NOON + 3 * WINDOW, parent="i2")
    sorter = MessageSorter(WINDOW)
    sorter.receive(newest)
    assert sorter.receive(late) == [late]
    assert sorter.receive(late) == [late]


def test_held_requests_are_delivered_when_the_window_has_passed() -> None:
    _, held = sent(NOON, NOON + MINUTE)
    [newest] = sent(NOON + 3 * WINDOW, parent="i2")
    sorter = MessageSorter(WINDOW)
    sorter.receive(held)
    assert sorter.receive(newest) == [held, newest]
    assert list(sorter.members()["ReceivedFromInstance"]) == ["i2"]


def test_clients_and_forwarded_lock_requests_pass_unsorted() -> None:
    sorter = MessageSorter(WINDOW)
    of_client = Request(id="1")
    assert sorter.receive(of_client) == [of_client]
    forwarded = replace(sent(NOON, NOON)[1], position=1)
    assert sorter.receive(forwarded) == [forwarded]
    assert sorter.members() == {}


def test_a_window_of_nothing_switches_it_off() -> None:
    sorter = MessageSorter(timedelta(0))
    request = sorter.label(Request(id="1", parent="i1"), "@counter@k", NOON)
    assert request.timestamp.text == "0001-01-01T00:00:00"
    assert sorter.receive(request) == sorter.receive(request) == [request]


def test_names_of_instances_compare_without_case() -> None:
    first, second = sent(NOON, NOON)
    sorter = MessageSorter(WINDOW)
    sorter.receive(first)
    assert sorter.receive(replace(second, parent="I1")) == [replace(second, parent="I1")]
    assert list(sorter.members()["ReceivedFromInstance"]) == ["i1"]


def test_targets_not_written_to_for_a_window_are_forgotten() -> None:
    sorter = MessageSorter(WINDOW)
    sorter.label(Request(id="1", parent="@a@k"), "@b@k", NOON)
    sorter.label(Request(id="2", parent="@a@k"), "@c@k", NOON + 3 * WINDOW)
    assert list(sorter.members()["LastSentToInstance"]) == ["@c@k"]
