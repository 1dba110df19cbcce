"""MessageSorter: requests between two instances are delivered once and in order."""

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
    """Return the sorter after it was stored in the state of an entity."""
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


def test_equal_times_become_one_tick_apart_without_z() -> None:
    """.NET loses the kind of a DateTime when it adds a tick."""
    first, second, third = sent(NOON, NOON, NOON)
    assert first.timestamp.text == "2026-03-01T12:00:00Z"
    assert (second.timestamp.text, second.predecessor.text) == (
        "2026-03-01T12:00:00.0000001",
        "2026-03-01T12:00:00Z",
    )
    assert third.predecessor.text == "2026-03-01T12:00:00.0000001"


def test_early_request_is_buffered_until_predecessor_arrives() -> None:
    first, second = sent(NOON, NOON + MINUTE)
    sorter = MessageSorter(WINDOW)
    assert sorter.receive(second) == []
    assert "Buffered" in sorter.members()["ReceivedFromInstance"]["i1"]
    assert stored(sorter).receive(first) == [first, second]


def test_requests_of_a_repeated_episode_do_not_wait_for_one_that_was_never_sent() -> None:
    """Its sender failed between the requests of an episode, and repeated it at another time with other messages."""
    before = MessageSorter(WINDOW)
    [first] = sent(NOON, sorter=before)
    _, of_failed_episode = sent(NOON + MINUTE, NOON + MINUTE, sorter=stored(before))
    second, third, fourth = sent(*[NOON + 2 * MINUTE] * 3, sorter=stored(before))
    sorter = MessageSorter(WINDOW)
    assert sorter.receive(of_failed_episode) == []
    assert sorter.receive(third) == []
    assert sorter.receive(first) == [first]
    assert sorter.receive(second) == [second, of_failed_episode, third]
    assert stored(sorter).receive(third) == []
    assert sorter.receive(fourth) == [fourth]


def test_a_request_that_waits_for_one_that_was_never_sent_delays_no_other() -> None:
    before = MessageSorter(WINDOW)
    [first] = sent(NOON, sorter=before)
    _, of_failed_episode = sent(NOON + MINUTE, NOON + MINUTE, sorter=stored(before))
    [second] = sent(NOON + 2 * MINUTE, sorter=before)
    sorter = MessageSorter(WINDOW)
    assert sorter.receive(second) == []
    assert sorter.receive(of_failed_episode) == []
    assert sorter.receive(first) == [first, second, of_failed_episode]


def test_new_execution_of_sender_releases_buffered_requests() -> None:
    _, early = sent(NOON, NOON)
    [fresh] = sent(NOON + MINUTE, execution="e2")
    sorter = MessageSorter(WINDOW)
    sorter.receive(early)
    assert sorter.receive(fresh) == [early, fresh]


def test_late_request_of_earlier_execution_is_delivered_and_changes_nothing() -> None:
    sorter = MessageSorter(WINDOW)
    _, late = sent(NOON, NOON + MINUTE)
    [fresh] = sent(NOON + 2 * MINUTE, execution="e2")
    assert sorter.receive(fresh) == [fresh]
    assert sorter.receive(late) == [late]
    assert sorter.receive(fresh) == []


def test_request_older_than_window_is_delivered_unsorted() -> None:
    _, late = sent(NOON, NOON + MINUTE)
    [newest] = sent(NOON + 3 * WINDOW, parent="i2")
    sorter = MessageSorter(WINDOW)
    sorter.receive(newest)
    assert sorter.receive(late) == [late]
    assert sorter.receive(late) == [late]


def test_buffered_requests_are_delivered_after_window() -> None:
    _, early = sent(NOON, NOON + MINUTE)
    [newest] = sent(NOON + 3 * WINDOW, parent="i2")
    sorter = MessageSorter(WINDOW)
    sorter.receive(early)
    assert sorter.receive(newest) == [early, newest]
    assert list(sorter.members()["ReceivedFromInstance"]) == ["i2"]


def test_requests_from_clients_and_forwarded_lock_requests_are_not_sorted() -> None:
    sorter = MessageSorter(WINDOW)
    from_client = Request(id="1")
    assert sorter.receive(from_client) == [from_client]
    forwarded = replace(sent(NOON, NOON)[1], position=1)
    assert sorter.receive(forwarded) == [forwarded]
    assert sorter.members() == {}


def test_window_of_zero_switches_sorting_off() -> None:
    sorter = MessageSorter(timedelta(0))
    request = sorter.label(Request(id="1", parent="i1"), "@counter@k", NOON)
    assert request.timestamp.text == "0001-01-01T00:00:00"
    assert sorter.receive(request) == sorter.receive(request) == [request]


def test_instance_ids_compare_without_letter_case() -> None:
    first, second = sent(NOON, NOON)
    sorter = MessageSorter(WINDOW)
    sorter.receive(first)
    assert sorter.receive(replace(second, parent="I1")) == [replace(second, parent="I1")]
    assert list(sorter.members()["ReceivedFromInstance"]) == ["i1"]


def test_targets_without_requests_for_a_window_are_removed() -> None:
    sorter = MessageSorter(WINDOW)
    sorter.label(Request(id="1", parent="@a@k"), "@b@k", NOON)
    sorter.label(Request(id="2", parent="@a@k"), "@c@k", NOON + 3 * WINDOW)
    assert list(sorter.members()["LastSentToInstance"]) == ["@c@k"]
