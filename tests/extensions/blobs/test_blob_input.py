"""Blob inputs: values by annotation and dataType, missing blobs, paths."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from emulator.extensions.blobs.binding_paths import BlobPath, parse_blob_path
from emulator.storage.port import BlobContainer
from tests.recordings.triggers import TRIGGERS
from tests.running_apps import HTTP_APP, RunningApp, run_app

PICTURE = bytes.fromhex("ffd8ffe00010")

SHOWN = """
def shown(value):
    if isinstance(value, func.InputStream):
        return json.dumps(["InputStream", value.read().hex()])
    return json.dumps([type(value).__name__, value.hex() if isinstance(value, bytes) else value])
"""
# One function per annotation and dataType, as f"{annotation}_{data_type}".
INPUTS = """
for annotation in ("str", "bytes", "InputStream", "none"):
    for data_type in ("unset", "string", "binary"):
        chosen = {} if data_type == "unset" else {"data_type": getattr(func.DataType, data_type.upper())}

        def read(req, blob):
            return shown(blob)

        read.__annotations__ = {"req": func.HttpRequest}
        if annotation != "none":
            read.__annotations__["blob"] = {"str": str, "bytes": bytes, "InputStream": func.InputStream}[annotation]
        read.__name__ = f"{annotation}_{data_type}"
        app.function_name(read.__name__)(
            app.route(route=f"{read.__name__}/{{name}}")(
                app.blob_input(arg_name="blob", path="pics/{name}", connection="AzureWebJobsStorage", **chosen)(read)
            )
        )
"""


def container_of(app: RunningApp, name: str) -> BlobContainer:
    return app.app.accounts("AzureWebJobsStorage").container(name)


async def fill(app: RunningApp, container: str, **blobs: bytes) -> None:
    await container_of(app, container).create()
    for name, content in blobs.items():
        await container_of(app, container).write(name, content)


async def test_annotation_and_data_type_decide_between_text_and_bytes(tmp_path: Path) -> None:
    damaged = PICTURE.decode("utf-8", "replace")
    async with run_app(tmp_path, HTTP_APP, SHOWN, INPUTS) as app:
        await fill(app, "pics", picture=PICTURE, text="äx".encode(), marked=b"\xef\xbb\xbfa", wide=b"\xff\xfea\x00")

        async def value(function: str, blob: str = "picture") -> Any:
            answer = await app.get(f"/api/{function}/{blob}")
            assert answer.status == 200, answer.text
            return answer.json()

        # The Functions host sends damaged text to all four of the first column but the last two rows' own choice.
        assert await value("str_unset") == ["str", damaged]
        assert await value("bytes_unset") == ["bytes", PICTURE.hex()]
        assert await value("InputStream_unset") == ["InputStream", PICTURE.hex()]
        assert await value("none_unset") == ["InputStream", PICTURE.hex()]
        for function in ("InputStream_binary", "none_binary"):
            assert await value(function) == ["InputStream", PICTURE.hex()]
        for function in ("bytes_binary", "str_binary"):
            assert await value(function) == ["bytes", PICTURE.hex()]
        for function in ("bytes_string", "str_string"):
            assert await value(function) == ["str", damaged]
        for function in ("InputStream_string", "none_string"):
            assert await value(function) == ["InputStream", damaged.encode().hex()]
        # Text is decoded by its byte-order mark; bytes keep it.
        assert await value("str_unset", "text") == ["str", "äx"]
        assert await value("str_unset", "marked") == ["str", "a"]
        assert await value("str_unset", "wide") == ["str", "a"]
        assert await value("InputStream_unset", "marked") == ["InputStream", "efbbbf61"]


# The recorded functions by what their parameters are in Python; a TextReader is a str, too.
RECORDED = {"InString": "str", "InBytes": "bytes", "InStream": "InputStream", "InReader": "str"}


async def test_values_are_the_recorded_ones(tmp_path: Path) -> None:
    calls = [step["test"] for step in TRIGGERS.steps("blob_bindings") if step["test"].startswith("call In")]
    received = TRIGGERS.received("blob_bindings")
    # The three starts of the recorded host: a text, a missing blob, bytes that are not text.
    blobs = iter(["x.txt"] * 4 + ["missing.txt"] * 4 + ["bin"] * 2)
    checked = 0
    async with run_app(tmp_path, HTTP_APP, SHOWN, INPUTS) as app:
        await fill(app, "pics", **{"x.txt": "äx".encode(), "bin": b"\xff\0"})
        for call, line in zip(calls, received, strict=True):
            annotation = RECORDED.get(call.removeprefix("call "))
            if annotation is None:
                continue
            recorded = line["parameters"]["v"]["json"]
            expected = base64.b64decode(recorded["base64"]).hex() if isinstance(recorded, dict) else recorded
            shown = (await app.get(f"/api/{annotation}_unset/{next(blobs)}")).json()
            assert shown[0] == ("NoneType" if recorded is None else annotation)
            assert shown[1] == expected
            checked += 1
    assert checked == 10


async def test_a_missing_blob_or_container_is_none(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, SHOWN, INPUTS) as app:
        for state in ("container", "blob"):
            for function in ("str_unset", "bytes_unset", "InputStream_unset", "none_binary"):
                answer = await app.get(f"/api/{function}/nothing")
                assert (answer.status, answer.json()) == (200, ["NoneType", None]), state
            await fill(app, "pics")
        # An empty blob is something else.
        await fill(app, "pics", empty=b"")
        assert (await app.get("/api/str_unset/empty")).json() == ["str", ""]
        assert (await app.get("/api/InputStream_unset/empty")).json() == ["InputStream", ""]


async def test_an_input_stream_is_a_file(tmp_path: Path) -> None:
    code = """
    import io

    @app.route(route="lines")
    @app.blob_input(arg_name="blob", path="texts/lines", connection="AzureWebJobsStorage")
    def lines(req: func.HttpRequest, blob: func.InputStream):
        first = blob.read(1)
        second = blob.readline()
        rest = list(io.TextIOWrapper(blob, encoding="utf-8"))
        return json.dumps([first.decode(), second.decode(), rest, blob.readable()])

    @app.route(route="facts")
    @app.blob_input(arg_name="blob", path="texts/lines", connection="AzureWebJobsStorage")
    def facts(req: func.HttpRequest, blob: func.InputStream):
        return json.dumps([blob.name, blob.uri, blob.length])
    """
    async with run_app(tmp_path, HTTP_APP, code) as app:
        await fill(app, "texts", lines="one\ntwö\nthree".encode())
        assert (await app.get("/api/lines")).json() == ["o", "ne\n", ["twö\n", "three"], True]
        # As on Azure, for an input whose function has another trigger.
        assert (await app.get("/api/facts")).json() == [None, None, None]


async def test_paths_with_expressions_and_urls(tmp_path: Path) -> None:
    code = """
    @app.route(route="path/{sub}/{name}", methods=["POST"])
    @app.blob_input(arg_name="blob", path="things/{sub}/{id}-{name}", connection="AzureWebJobsStorage")
    def path(req: func.HttpRequest, blob: str):
        return blob or "nothing"

    @app.route(route="whole", methods=["POST"])
    @app.blob_input(arg_name="blob", path="{where}", connection="AzureWebJobsStorage")
    def whole(req: func.HttpRequest, blob: str):
        return blob or "nothing"
    """
    async with run_app(tmp_path, HTTP_APP, code) as app:
        await fill(app, "things")
        await container_of(app, "things").write("a/7-x y.txt", b"found")
        assert (await app.post("/api/path/a/x%20y.txt", json.dumps({"id": 7}))).text == "found"
        assert (await app.post("/api/path/b/x%20y.txt", json.dumps({"id": 7}))).text == "nothing"
        for where in (
            "things/a/7-x y.txt",
            "http://127.0.0.1:10000/devstoreaccount1/things/a/7-x%20y.txt",
            "https://acc.blob.core.windows.net/things/a/7-x%20y.txt?sv=2020&sig=x",
            container_of(app, "things").url("a/7-x y.txt"),
        ):
            assert (await app.post("/api/whole", json.dumps({"where": where}))).text == "found", where


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://127.0.0.1:10000/devstoreaccount1/c-work/x", BlobPath("c-work", "x")),
        ("http://localhost:10100/acc/c-work/a/b", BlobPath("c-work", "a/b")),
        ("http://azurite:10000/acc/c-work/a%2Fb", BlobPath("c-work", "a/b")),
        ("https://acc.blob.core.windows.net/c-work/%C3%BC.txt?sp=r", BlobPath("c-work", "ü.txt")),
        ("c-work/http://x", BlobPath("c-work", "http://x")),
        ("$root/x", BlobPath("$root", "x")),
    ],
)
def test_container_and_name_of_a_path(url: str, path: BlobPath) -> None:
    assert parse_blob_path(url) == path


BAD_INPUT = """
@app.function_name("F")
@app.queue_trigger(arg_name="msg", queue_name="okqueue", connection="AzureWebJobsStorage")
@app.blob_input(arg_name="b", path={path!r}, connection="AzureWebJobsStorage")
def f(msg: func.QueueMessage, b: str):
    print("the function runs")
"""


def recorded_errors() -> dict[str, tuple[bool, str]]:
    """The recorded error of each bad path: whether it comes at indexing, and its text."""
    paths = [
        step["test"].removeprefix("input path '").removesuffix("'")
        for step in TRIGGERS.steps("blob_bad_inputs")
        if step["test"].startswith("input path ")
    ]
    errors: dict[str, tuple[bool, str]] = {}
    # Each start of a host begins the times of its log anew, so its first lines separate the paths.
    hosts = TRIGGERS.log("blob_bad_inputs").split("registered http endpoint")[1:]
    assert len(hosts) == len(paths)
    for path, log in zip(paths, hosts, strict=True):
        chain = [line.strip().removeprefix("! ") for line in log.splitlines() if line.strip().startswith("! ")]
        if chain:
            at_indexing = "FunctionIndexingException" in chain[0]
            errors[path] = (at_indexing, chain[2 if not at_indexing else 1].partition(": ")[2])
    return errors


# The queue's own binding data: the path needs a trigger that gives the recorded (empty) times.
_NEEDS_QUEUE_DATA = "c-work/{insertionTime:yyyy}"


async def test_bad_paths_fail_as_recorded(tmp_path: Path) -> None:
    errors = recorded_errors()
    assert len(errors) == 9
    for number, (path, recorded) in enumerate(errors.items()):
        if path == _NEEDS_QUEUE_DATA:
            continue
        at_indexing, text = recorded
        if "Unable to resolve binding parameter" in text:
            # A queue message may bring any name in its JSON, so the Functions host can find this only in the run.
            at_indexing, text = False, f"No value for named parameter '{path.partition('{')[2].partition('}')[0]}'."
        code = BAD_INPUT.format(path=path)
        async with run_app(tmp_path / str(number), HTTP_APP, code) as app:
            if at_indexing:
                [error] = (await app.get("/admin/functions/F/status")).json()["errors"]
                assert text in error, path
            else:
                answer = await app.post("/admin/azemu/functions/F/invoke", json.dumps({"input": "m"}))
                assert answer.status == 500
                assert f"Exception binding parameter 'b'. {text}" in answer.json()["error"], path


@pytest.mark.parametrize(
    "path", ["{queueTrigger}", "c-work/{queueTrigger}", "c-work/{rand-guid}", "http://127.0.0.1:10000/acc/c-work/x"]
)
async def test_recorded_good_paths_are_accepted(tmp_path: Path, path: str) -> None:
    async with run_app(tmp_path, HTTP_APP, BAD_INPUT.format(path=path)) as app:
        answer = await app.post("/admin/azemu/functions/F/invoke", json.dumps({"input": "c-work/from-queue"}))
        assert answer.status == 200, answer.text


async def test_a_path_that_is_bad_at_run_time_names_what_is_wrong(tmp_path: Path) -> None:
    code = BAD_INPUT.format(path="{queueTrigger}")
    async with run_app(tmp_path, HTTP_APP, code) as app:
        for path, reason in (
            ("c-work/", "The name of the blob is missing."),
            ("Upper/x", "'Upper' cannot be the name of a container"),
            ("c-work/a\\b", "cannot contain a backslash"),
            ("c-work/" + "x" * 1025, "at most 1024 characters, this one 1025"),
        ):
            answer = await app.post("/admin/azemu/functions/F/invoke", json.dumps({"input": path}))
            error = answer.json()["error"]
            assert answer.status == 500
            assert f"Validation failed for property 'BlobPath', value '{path}'. The field BlobPath is invalid." in error
            assert reason in error


async def test_a_connection_that_no_setting_defines_is_named(tmp_path: Path) -> None:
    code = BAD_INPUT.replace('"AzureWebJobsStorage")\ndef', '"Pictures")\ndef').format(path="c-work/x")
    async with run_app(tmp_path, HTTP_APP, code) as app:
        answer = await app.post("/admin/azemu/functions/F/invoke", json.dumps({"input": "m"}))
        assert answer.status == 500
        assert "'AzureWebJobsPictures' does not exist" in answer.json()["error"]


async def test_state_of_the_last_run_is_read_again(tmp_path: Path) -> None:
    """Input and output have one path; at the first run neither the blob nor its container exists."""
    code = """
    @app.route(route="count/{name}")
    @app.blob_input(arg_name="before", path="state/{name}.json", connection="AzureWebJobsStorage")
    @app.blob_output(arg_name="after", path="state/{name}.json", connection="AzureWebJobsStorage")
    def count(req: func.HttpRequest, before: str, after: func.Out[str]):
        runs = 0 if before is None else json.loads(before)["runs"]
        after.set(json.dumps({"runs": runs + 1}))
        return str(runs)
    """
    async with run_app(tmp_path, HTTP_APP, code) as app:
        assert [(await app.get("/api/count/a")).text for _ in range(3)] == ["0", "1", "2"]
        assert (await app.get("/api/count/b")).text == "0"
