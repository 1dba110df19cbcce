"""Queue outputs: which value makes which messages, and where they are put."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from emulator.virtual_time import VirtualClock
from tests.recordings.triggers import TRIGGERS
from tests.running_apps import run_app
from tests.waiting import eventually

from .apps import QUEUE_APP, Queues, decoded, encoded

# The function gets Python code, whose value it sets or returns.
OUTPUTS = """
def value_of(req):
    return eval(req.get_body().decode())


@app.route(route="set", methods=["POST"])
@app.queue_output(arg_name="out", queue_name="Out", connection=STORAGE)
def set_value(req: func.HttpRequest, out: func.Out[str]):
    out.set(value_of(req))
    return "ok"


@app.route(route="list", methods=["POST"])
@app.queue_output(arg_name="out", queue_name="out", connection=STORAGE)
def set_list(req: func.HttpRequest, out: func.Out[typing.List[str]]):
    out.set(value_of(req))
    return "ok"


@app.route(route="message", methods=["POST"])
@app.queue_output(arg_name="out", queue_name="out", connection=STORAGE)
def set_message(req: func.HttpRequest, out: func.Out[func.QueueMessage]):
    out.set(value_of(req))
    return "ok"


@app.route(route="nothing", methods=["POST"])
@app.queue_output(arg_name="out", queue_name="out", connection=STORAGE)
def set_nothing(req: func.HttpRequest, out: func.Out[str]):
    return "ok"


@app.route(route="fail", methods=["POST"])
@app.queue_output(arg_name="out", queue_name="out", connection=STORAGE)
def set_and_fail(req: func.HttpRequest, out: func.Out[str]):
    out.set("never sent")
    raise RuntimeError("after set")


@app.generic_trigger(arg_name="text", type="manualTrigger")
@app.queue_output(arg_name="$return", queue_name="out", connection=STORAGE)
def returns(text: str) -> str:
    return eval(text)


@app.route(route="to/{box}", methods=["POST"])
@app.queue_output(arg_name="out", queue_name="Box-{box}", connection=STORAGE)
def set_by_name(req: func.HttpRequest, out: func.Out[str]):
    out.set("for a box")
    return "ok"
"""

# Dates are rewritten in the local time of the host, and most tests run in UTC; those with offsets are below.
AS_SET = [
    ("set", "'plain'", ["plain"]),
    ("set", "'äöü € <&>'", ["äöü € <&>"]),
    ("set", "''", [""]),
    ("set", "' spaces '", [" spaces "]),
    ("set", "None", []),
    ("set", "'[]'", []),
    ("set", "'[1, 2.50, true, null, \"a\"]'", ["1", "2.5", "True", "", "a"]),
    ("set", '\'{"a":1,"b":[]}\'', ['{\n  "a": 1,\n  "b": []\n}']),
    ("set", "\"{'a': 1}\"", ['{\n  "a": 1\n}']),
    ("set", "b'[1,2]'", ["[1,2]"]),
    ("set", "'[\"2026-03-01T09:00:00Z\"]'", ["03/01/2026 09:00:00"]),
    (
        "set",
        "json.dumps([{'at': '2026-03-01T09:00:00.500Z', 'n': 1e3}])",
        ['{\n  "at": "2026-03-01T09:00:00.5Z",\n  "n": 1000.0\n}'],
    ),
    ("list", "['a', 'b', 'c']", ["a", "b", "c"]),
    ("list", "['2026-03-01T09:00:00Z']", ["2026-03-01T09:00:00Z"]),
    ("list", "['{\"a\":1}']", ['{"a":1}']),
    ("list", "[]", []),
    ("message", "func.QueueMessage(id='7', body=b'x')", ['{\n  "id": "7",\n  "body": "x"\n}']),
    ("nothing", "", []),
]


async def test_a_value_makes_these_messages(tmp_path: Path) -> None:
    async with run_app(tmp_path, QUEUE_APP, OUTPUTS) as site:
        queues = Queues(site)
        found = []
        for route, code, _ in AS_SET:
            before = len(await queues.left("out"))
            answer = await site.post(f"/api/{route}", data=code)
            assert answer.status == 200, (code, answer.text)
            found.append((route, code, [decoded(stored) for stored in (await queues.left("out"))[before:]]))
        assert found == AS_SET
        # A queue output creates its queue, in lower case.
        assert await queues.names() == ["out"]

        before = len(await queues.left("out"))
        assert (await site.post("/api/set", data="b'\\xff\\xfe\\x00'")).status == 200
        assert (await queues.left("out"))[before:] == ["//4A"]
        # Returned values: one message each; None makes none.
        for code in ("'returned'", "None"):
            assert (await site.post("/admin/azemu/functions/returns/invoke", json={"input": code})).status == 200
        assert (await queues.left("out"))[before + 1 :] == [encoded("returned")]


async def test_an_output_that_cannot_be_written_fails_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with run_app(tmp_path, QUEUE_APP, OUTPUTS) as site:
        queues = Queues(site)
        assert (await site.post("/api/set", data="'x' * 49152")).status == 200
        assert (await site.post("/api/set", data="'x' * 49153")).status == 500
        assert "Error while handling parameter out after function returned:" in caplog.text
        assert "exceeds the maximum permissible limit" in caplog.text
        caplog.clear()
        assert (await site.post("/api/set", data="'{not json}'")).status == 500
        assert "begins and ends like JSON" in caplog.text
        caplog.clear()
        assert (await site.post("/api/to/a_b")).status == 500
        rule = "A queue name can contain only letters, numbers, and dash(-) characters - \"box-a_b\" (Parameter 'name')"
        assert rule in caplog.text
        assert (await site.post("/api/fail")).status == 500
        assert (await site.post("/api/to/Seven")).status == 200
        assert [len(await queues.left(name)) for name in ("out", "box-seven")] == [1, 1]


async def test_without_encoding_the_text_itself_is_put(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    host = {"extensions": {"queues": {"messageEncoding": "none"}}}
    async with run_app(tmp_path, QUEUE_APP, OUTPUTS, host=host) as site:
        for code in ("'plain text <&> é'", "b'h\\xc3\\xa9'", "''"):
            assert (await site.post("/api/set", data=code)).status == 200
        assert (await site.post("/api/set", data="b'\\xff\\xfe'")).status == 500
        assert "messageEncoding" in caplog.text
        assert (await site.post("/api/set", data="'\\x01'")).status == 500
        assert await Queues(site).left("out") == ["plain text <&> é", "hé", ""]


def recorded_calls() -> Iterator[tuple[str, list[str]]]:
    """Yield the code of each recorded text or bytes, and what was stored for it."""
    puts = [change for change in TRIGGERS.changes("queue_outputs", "out") if change["op"] == "put"]
    steps = [step["test"] for step in TRIGGERS.steps("queue_outputs")]
    with_base64 = TRIGGERS.steps("queue_outputs")[: steps.index("now messageEncoding none")]
    for step, ended in pairwise(with_base64):
        stored = [put["stored"] for put in puts if step["t"] < put["t"] < ended["t"]]
        match step:
            # Long texts are not in the recording.
            case {"test": "call OutString", "text": text} if len(text or "") < 100:
                yield repr(text), stored
            case {"test": "call OutBytes", "base64": text}:
                yield "None" if text is None else repr(base64.b64decode(text)), stored


async def test_texts_and_bytes_are_stored_as_the_recorded_extension_stores_them(tmp_path: Path) -> None:
    calls = list(recorded_calls())
    assert len(calls) >= 8
    async with run_app(tmp_path, QUEUE_APP, OUTPUTS) as site:
        for code, _ in calls:
            assert (await site.post("/api/set", data=code)).status == 200
        assert await Queues(site).left("out") == [text for _, stored in calls for text in stored]


async def test_dates_are_rewritten_as_the_host_reads_and_writes_json(tmp_path: Path) -> None:
    code = json.dumps(json.dumps(["2026-03-01T09:00:00Z", {"at": "2026-03-01T09:00:00.500+02:00", "n": 1e3}]))
    async with run_app(tmp_path, QUEUE_APP, OUTPUTS) as site:
        assert (await site.post("/api/set", data=code)).status == 200
        assert (await site.post("/api/set", data=f"{code}.encode()")).status == 200
        first, second, third = map(decoded, await Queues(site).left("out"))
    assert first == "03/01/2026 09:00:00"
    at = json.loads(second)["at"]
    assert at == "2026-03-01T07:00:00.5+00:00" or at.endswith(("+01:00", "+02:00"))  # the local time zone
    assert third == json.loads(code)


ODD_OUTPUTS = """
@app.queue_trigger(arg_name="msg", queue_name="incoming", connection=STORAGE)
@app.queue_output(arg_name="out", queue_name="done", connection=STORAGE)
def echo(msg: func.QueueMessage, out: func.Out[str]):
    value = msg.get_json()["value"]
    out.set(10**6000 if value == "huge" else value)
"""


async def test_half_of_a_surrogate_pair_becomes_a_replacement_character(tmp_path: Path, clock: VirtualClock) -> None:
    async with run_app(tmp_path, QUEUE_APP, ODD_OUTPUTS, clock=clock) as site:
        queues = Queues(site)
        await queues.put("incoming", encoded(json.dumps({"value": json.dumps(["\ud800"])})))
        assert await eventually(lambda: queues.left("done"), "message", clock=clock) == [encoded("\ufffd")]


async def test_a_number_beyond_64_bits_fails_the_run(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_app(tmp_path, QUEUE_APP, ODD_OUTPUTS, clock=clock) as site:
        queues = Queues(site)
        await queues.put("incoming", encoded('{"value": "huge"}'))
        await eventually(lambda: queues.left("incoming-poison"), "poison message", clock=clock)
    assert caplog.text.count("Executed 'Functions.echo' (Failed") == 5
    assert "Value out of range: an integer of 19932 bits" in caplog.text
    assert "Processing message" not in caplog.text  # The words for a defect of azemu.
