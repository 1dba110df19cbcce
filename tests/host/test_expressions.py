"""Binding expressions: docs/protocol/functions-host.md 2.2 and 2.3."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from emulator.host.expressions import BindingData, ExpressionError, TriggerMetadata, parse_template, payload_members
from emulator.virtual_time import VirtualClock
from emulator.worker.port import Datum
from tests.counting_ids import counting_ids
from tests.recordings.triggers import TRIGGERS

NOON = datetime(2024, 1, 31, 9, 5, 0, 123456, tzinfo=UTC)


def data(payload: str | None = None, **values: object) -> BindingData:
    datum = None if payload is None else Datum("string", payload)
    return BindingData(values, datum, function="F", clock=VirtualClock(NOON), new_id=counting_ids())


RENDERED = [
    ("plain", "plain"),
    ("{{literal}} {name}", "{literal} n"),
    ("{NAME}-{Name}", "n-n"),
    ("c/{customer.Id}/{customer.Address.zip}.json", "c/7/1010.json"),
    ("{number}{flag}{raw}", "3Truebytes"),
    ("{snake_name}/{_id}", "s/7"),
    ("{headers.Content-Type}", "text/plain"),
    ("{rand-guid}|{rand-guid:N}", "00000000-0000-0000-0000-000000000001|00000000000000000000000000000002"),
    ("{RAND-GUID:B}", "{00000000-0000-0000-0000-000000000001}"),
    ("{datetime}", "2024-01-31T09-05-00Z"),
    ("{DateTime:yyyy-MM-dd HH:mm}", "2024-01-31 09:05"),
    ("{sys.methodname} {sys.utcnow} {sys.randguid:N}", "F 2024-01-31T09-05-00Z 00000000000000000000000000000001"),
    ("{SYS.UtcNow:yyyy/MM}", "2024/01"),
    # A format ends at its first dot.
    ("{datetime:yyyy.MM.dd}", "2024"),
    # A name that begins like a built-in one is that one.
    ("{datetimeUtc:HH}/{rand-guid-2:N}", "09/00000000000000000000000000000001"),
    # Formats apply to built-in names only.
    ("{number:000}/{id:N}/{customer.id:X}", "3/00000000-0000-0000-0000-00000000000f/7"),
    # All but texts, numbers and GUIDs have no text.
    ("[{when}{when:yyyy}{object}{list}{nothing}{customer.address}]", "[]"),
    ("{float}/{whole}/{large}", "1.5/1/1E+20"),
]


@pytest.mark.parametrize(("text", "rendered"), RENDERED)
def test_expressions_are_rendered(text: str, rendered: str) -> None:
    values = data(
        name="n",
        customer={"id": 7, "address": {"Zip": "1010"}},
        headers={"content-type": "text/plain"},
        object={"a": 1},
        list=[1],
        nothing=None,
        float=1.5,
        whole=1.0,
        large=1e20,
        number=3,
        snake_name="s",
        _id=7,
        flag=True,
        raw=b"bytes",
        when=NOON.astimezone(timezone(timedelta(hours=1))),
        id=UUID(int=15),
    )
    assert parse_template(text).render(values) == rendered


def test_binding_data_has_precedence_over_built_in_names() -> None:
    assert parse_template("{datetime}").render(data(DateTime="mine")) == "mine"


def test_the_payload_has_precedence_over_binding_data() -> None:
    assert parse_template("{id} {nested.a} {text}").render(
        data('{"id": "payload", "nested": {"a": 1}, "text": 2.5}', Id="message")
    ) == ("payload 1 2.5")


def test_dates_in_a_payload_are_written_as_local_times(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        pytest.skip("the time zone of a process cannot be changed")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        payload = '{"at": "2026-01-02T03:04:05.5+05:00", "day": "2026-01-02", "in": {"at": "2026-07-02T03:04:05Z"}}'
        values = data(payload)
        assert parse_template("{at}|{day}|{in.at}").render(values) == (
            "01/01/2026 23:04:05|2026-01-02|07/02/2026 03:04:05"
        )
    finally:
        monkeypatch.undo()
        time.tzset()


UNRESOLVED = [
    ("{missing}", "No value for named parameter 'missing'. The trigger gives: list, name, object."),
    ("{missing.a}", "No value for named parameter 'missing.a'. The trigger gives: list, name, object."),
    ("{sys.other}", "Error while accessing 'other': property doesn't exist."),
    ("{object.other}", "Error while accessing 'other': property doesn't exist."),
    ("{name.part}", "Error while accessing 'part': property doesn't exist."),
    ("{rand-guid:Q}", '"Q" is not a GUID format; allowed: D, N, B, P, X'),
]


@pytest.mark.parametrize(("text", "message"), UNRESOLVED)
def test_a_name_without_a_value_is_an_error(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse_template(text).render(data(object={"a": 1}, list=[1], name="n"))
    assert str(error.value) == message


def test_an_error_lists_a_payload_with_many_members_in_part() -> None:
    payload = json.dumps({f"name{number:04}": 1 for number in range(5000)})
    with pytest.raises(ExpressionError) as error:
        parse_template("{missing}").render(data(payload))
    assert str(error.value).endswith("name0028, name0029, ….")


@pytest.mark.parametrize("text", ["{open", "close}", "{a{b}}", "{a-b}", "{a-b.c}", "{a.}", "{}", "{a b}", "x{y}}z"])
def test_malformed_templates_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match="Invalid template"):
        parse_template(text)


PAYLOADS = [
    (
        '{"a": 1, "b": true, "c": null, "d": [1], "e": {"f": 2}, "g": "x"}',
        {"a": "1", "b": "True", "e": {"f": 2}, "g": "x"},
    ),
    (
        '{"a": 1.50, "b": 1e3, "c": "2026-01-02", "d": "2026-01-02T03:04:05"}',
        {"a": "1.5", "b": "1000", "c": "2026-01-02", "d": "01/02/2026 03:04:05"},
    ),
    ("{'single': 1,}", {"single": "1"}),
    ("  {}  ", {}),
    ("[1, 2]", {}),
    ("{broken}", {}),
    ("text", {}),
]


@pytest.mark.parametrize(("payload", "members"), PAYLOADS)
def test_members_of_a_json_payload_are_names(payload: str, members: dict[str, object]) -> None:
    assert payload_members(Datum("string", payload)) == members


def test_only_text_payloads_have_members() -> None:
    assert payload_members(Datum("json", '{"a": 1}')) == {}
    assert payload_members(Datum("bytes", b'{"a": 1}')) == {}
    assert payload_members(None) == {}


def test_metadata_keeps_its_spelling_and_takes_the_value_of_the_payload() -> None:
    metadata = TriggerMetadata(
        {"Id": Datum("string", "message"), "DequeueCount": Datum("json", "1")},
        Datum("string", '{"id": "payload", "more": {"a": 1}}'),
    )
    assert dict(metadata) == {
        "Id": Datum("string", "payload"),
        "DequeueCount": Datum("json", "1"),
        "more": Datum("json", '{"a": 1}'),
    }


MATCHES = [
    ("samples/{name}.{ext}", "samples/report.txt", {"name": "report", "ext": "txt"}),
    ("samples/{name}.{ext}", "samples/a.b.txt", {"name": "a.b", "ext": "txt"}),
    ("in/{name}-{date}.csv", "in/x-2026-01-02.csv", {"name": "x-2026-01", "date": "02"}),
    ("in/{dir}/{file}.txt", "in/d/e/f.txt", {"dir": "d/e", "file": "f"}),
    ("in/{dir}/{file}.txt", "in//f.txt", {"dir": "", "file": "f"}),
    ("in/{name}.{ext}", "in/.hidden", {"name": "", "ext": "hidden"}),
    ("in/{name}.{ext}", "in/trailing.", {"name": "trailing", "ext": ""}),
    ("in/{{x}}-{name}", "in/{x}-ü ö.txt", {"name": "ü ö.txt"}),
    ("in/{name}", "in/a%20b.txt", {"name": "a%20b.txt"}),
    ("in/{DateTime}-{a:N}", "in/x-y", {"DateTime": "x", "a": "y"}),
    ("in/{a}{b}", "in/xy", {"a": "xy", "b": ""}),
    ("in/{a}{a}", "in/xy", {"a": ""}),
    ("in/fixed.txt", "in/fixed.txt", {}),
    ("in/{name}.txt", "in/a.csv", None),
    ("in/{name}.txt", "IN/a.txt", None),
    ("in/{name}.txt", "in/a.txt.bak", None),
    ("in/a.c", "in/abc", None),
]


@pytest.mark.parametrize(("pattern", "text", "values"), MATCHES)
def test_patterns_are_matched(pattern: str, text: str, values: dict[str, str] | None) -> None:
    assert parse_template(pattern).match(text) == values


def test_capture_names_keep_their_spelling() -> None:
    assert parse_template("in/{Dir}/{name}.{ext:x}").capture_names() == ["Dir", "name", "ext"]


NO_CAPTURES = [
    ("in/{a.b}", "Capture expressions can't include dot operators"),
    (
        "c-work/{rand-guid}",
        "Invalid pattern '^c-work/(?<rand-guid>.*)$' at offset 20. Reference to undefined group name 'guid'.",
    ),
    (
        "a.b/{rand-guid}",
        "Invalid pattern '^a\\.b/(?<rand-guid>.*)$' at offset 18. Reference to undefined group name 'guid'.",
    ),
]


@pytest.mark.parametrize(("pattern", "message"), NO_CAPTURES)
def test_an_expression_that_cannot_capture_is_refused(pattern: str, message: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse_template(pattern).capture_names()
    assert str(error.value) == message


# What the extensions have asked storage for in the recording `templates`, by the pattern of their blob input.
RECORDED = [
    ("length/{properties.contentLength}", "length/12"),
    ("meta/{metadata.colour}", "meta/red"),
    ("trigger/{blobTrigger}", "trigger/c-work/a b.tpl"),
    ("type/{properties.contentType}", "type/application/octet-stream"),
    ("blobtype/{properties.blobType}", "blobtype/0"),
    ("count3/{dequeueCount:000}", "count3/1"),
    ("text/{queueTrigger}", "text/some text/with slash"),
    ("n/{data.n}", "n/7"),
    ("CASE/{DATA.Inner.X}", "CASE/deep"),
    ("flag/{data.flag}", "flag/True"),
    ("float/{data.float}", "float/1.5"),
]


@pytest.mark.parametrize(("text", "path"), RECORDED)
def test_expressions_give_the_recorded_texts(text: str, path: str) -> None:
    asked = {line.get("blob") for line in TRIGGERS.requests("templates")}
    assert f"c-work/{path}" in asked
    values = data(
        BlobTrigger="c-work/a b.tpl",
        Properties={"ContentLength": 12, "ContentType": "application/octet-stream", "BlobType": 0},
        Metadata={"Colour": "red"},
        QueueTrigger="some text/with slash",
        DequeueCount=1,
        data={"n": 7, "inner": {"x": "deep"}, "flag": True, "float": 1.5},
    )
    assert parse_template(text).render(values) == path


def test_names_of_a_json_message_give_the_recorded_paths() -> None:
    asked = {line.get("blob") for line in TRIGGERS.requests("queue_expressions")}
    message = next(line["plain"] for line in TRIGGERS.steps("queue_expressions") if "plain" in line)
    path = parse_template("c-work/in/{Name}-{Inner.Name}.txt").render(data(message))
    assert path in asked
    assert path == "c-work/in/n-deep.txt"
