"""What a function returned → status, headers, body."""

from __future__ import annotations

import time
from contextlib import nullcontext

import pytest

from emulator.extensions.http.response import (
    RenderedResponse,
    ResponseRefused,
    check_length,
    cookie_text,
    render,
    text_response,
)
from emulator.worker.port import Datum, HttpCookie, HttpResponseData, Returned

PLAIN = [("Content-Type", "text/plain; charset=utf-8")]


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("hello", "hello"),
        ("", ""),
        (" ", " "),
        ("null", ""),
        ("true", "True"),
        ("False", "False"),
        ("false", "False"),
        ("1", "1"),
        ("1.0", "1"),
        ("1e5", "100000"),
        ("-0.5", "-0.5"),
        ("1e300", "1E+300"),
        ("0x1F", "31"),
        ("NaN", "NaN"),
        ('"x"', "x"),
        ("'x'", "x"),
        ('"2017-01-12T13:55:08Z"', "01/12/2017 13:55:08"),
        ('"2017-01-12"', "2017-01-12"),
        ('{"a":1,"b":[true,null,"x"]}', '{\n  "a": 1,\n  "b": [\n    true,\n    null,\n    "x"\n  ]\n}'),
        ("{'a':1.0,/* c */ b:'ü',}", '{\n  "a": 1.0,\n  "b": "ü"\n}'),
        ("[]", "[]"),
        ("{}", "{}"),
        ("[1,2]", "[\n  1,\n  2\n]"),
        ('{"a":{}}', '{\n  "a": {}\n}'),
        ('{"at":"2017-01-12T13:55:08.1200Z"}', '{\n  "at": "2017-01-12T13:55:08.12Z"\n}'),
        ('{"a":1} trailing', '{"a":1} trailing'),
        ('{"a":1', '{"a":1'),
        ("Hello, {name}", "Hello, {name}"),
    ],
)
def test_json_in_a_text_is_formatted(text: str, body: str) -> None:
    response = text_response(text)
    assert (response.status, response.headers, response.body.decode()) == (200, PLAIN, body)


def test_a_date_with_an_offset_becomes_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(time, "tzset"):
        pytest.skip("Windows cannot change the time zone of a process")
    monkeypatch.setenv("TZ", "Etc/GMT-3")
    time.tzset()
    try:
        body = text_response('["2017-01-12T13:55:08+01:00"]').body
    finally:
        monkeypatch.undo()
        time.tzset()
    assert body == b'[\n  "2017-01-12T15:55:08+03:00"\n]'


@pytest.mark.parametrize(
    ("text", "response"),
    [
        ('{"body":"hi"}', RenderedResponse(status=200, headers=PLAIN, body=b"hi")),
        ('{"Body":"hi","status":202}', RenderedResponse(status=202, headers=PLAIN, body=b"hi")),
        ('{"body":"hi","statusCode":"404","status":500}', RenderedResponse(status=404, headers=PLAIN, body=b"hi")),
        ('{"body":"hi","status":"soon"}', RenderedResponse(status=200, headers=PLAIN, body=b"hi")),
        ('{"body":null}', RenderedResponse(status=200, headers=PLAIN, body=b"")),
        ('{"body":true}', RenderedResponse(status=200, headers=PLAIN, body=b"True")),
        ('{"body":{"a": 1}}', RenderedResponse(status=200, headers=PLAIN, body=b'{"a":1}')),
        (
            '{"body":"{}","headers":{"content-type":"application/json","X-A":5}}',
            RenderedResponse(status=200, headers=[("content-type", "application/json"), ("X-A", "5")], body=b"{}"),
        ),
    ],
)
def test_an_object_with_a_body_is_a_response(text: str, response: RenderedResponse) -> None:
    assert text_response(text) == response


@pytest.mark.parametrize(
    ("value", "response"),
    [
        (None, RenderedResponse(status=204)),
        (Datum("string", '{"a":1}'), RenderedResponse(headers=PLAIN, body=b'{"a":1}')),
        (
            Datum("json", '{"a":1}'),
            RenderedResponse(headers=[("Content-Type", "application/json; charset=utf-8")], body=b'{"a":1}'),
        ),
        (Datum("bytes", b"\0"), RenderedResponse(body=b"\0")),
        (Datum("int", 5), RenderedResponse(headers=PLAIN, body=b"5")),
    ],
)
def test_without_an_http_output_the_result_is_the_response(value: Datum | None, response: RenderedResponse) -> None:
    assert render(Returned(value), None) == response
    assert render(Returned(value), "response") == response


def test_a_named_output_wins_over_the_result() -> None:
    returned = Returned(Datum("string", "result"), {"response": Datum("string", '{"body":"output","status":201}')})
    assert render(returned, "response") == RenderedResponse(status=201, headers=PLAIN, body=b"output")
    assert render(returned, "$return").body == b"result"


@pytest.mark.parametrize(
    ("cookie", "text"),
    [
        (HttpCookie("foo", "bar"), "foo=bar"),
        (HttpCookie("foo", "bar", domain="", path=""), "foo=bar; domain=; path="),
        (HttpCookie("a", "b c;ü"), "a=b%20c%3B%C3%BC"),
        (
            HttpCookie(
                "foo3",
                "42",
                domain="example.com",
                path="/",
                expires="Thu, 12 Jan 2017 13:55:08 GMT",
                secure=True,
                http_only=True,
                same_site="Lax",
                max_age=10000000.0,
            ),
            "foo3=42; expires=Thu, 12 Jan 2017 13:55:08 GMT; max-age=10000000; domain=example.com; path=/; secure; "
            "samesite=lax; httponly",
        ),
        (HttpCookie("a", "b", secure=False, http_only=False, same_site="ExplicitNone"), "a=b; samesite=none"),
        (HttpCookie("a", "b", same_site="None"), "a=b; samesite=none"),
    ],
)
def test_cookies(cookie: HttpCookie, text: str) -> None:
    assert cookie_text(cookie) == text


def response(status: int = 200, headers: list[tuple[str, str]] | None = None, body: bytes = b"") -> Returned:
    return Returned(Datum("http", HttpResponseData(status, headers or [], [], body)))


def test_the_first_header_of_a_name_is_kept_and_connection_headers_are_dropped() -> None:
    headers = [("X-A", "1"), ("x-a", "2"), ("Transfer-Encoding", "chunked"), ("Connection", "close"), ("X-B", "")]
    assert render(response(headers=headers), "$return").headers == [("X-A", "1"), ("X-B", "")]


@pytest.mark.parametrize(
    "returned",
    [
        response(status=99),
        response(status=100),
        response(status=1000),
        response(headers=[("bad name", "x")]),
        response(headers=[("", "x")]),
        response(headers=[("X-A", "one\r\nX-B: two")]),
        response(headers=[("X-A", "nul\0")]),
    ],
)
def test_a_response_that_cannot_be_sent_is_refused(returned: Returned) -> None:
    with pytest.raises(ResponseRefused, match="The function returned"):
        render(returned, "$return")


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        (
            "Content-Disposition",
            'attachment; filename="Übersicht März.pdf"',
            r"filename\*=UTF-8''%C3%9Cbersicht%20M%C3%A4rz\.pdf",
        ),
        ("X-Name", "Zoë", "Encode the value, for example with urllib.parse.quote"),
        ("Content-Type", "text/plain; charset=ütf", "'ü' is not"),
        ("X-Name", "delete\x7f", "control character"),
        ("X-Nämé", "x", "Use letters, digits and hyphens"),
    ],
)
def test_the_error_about_a_header_says_what_to_do(name: str, value: str, advice: str) -> None:
    with pytest.raises(ResponseRefused, match=advice) as refused:
        render(response(headers=[(name, value)]), "$return")
    assert repr(name) in str(refused.value)


def test_a_header_in_a_response_object_is_checked_too() -> None:
    text = Datum("string", '{"body": "x", "headers": {"X-Name": "Zoë"}}')
    with pytest.raises(ResponseRefused, match="'X-Name'"):
        render(Returned(None, {"res": text}), "res")


def test_a_header_may_contain_tabs() -> None:
    assert render(response(headers=[("X-A", "a\tb ~")]), "$return").headers == [("X-A", "a\tb ~")]


@pytest.mark.parametrize(
    ("length", "body", "method", "refused"),
    [
        ("4", b"four", "GET", False),
        ("3", b"four", "GET", True),
        ("4", b"", "GET", True),
        ("x", b"", "GET", True),
        ("4", b"", "HEAD", False),
        ("0", b"", "HEAD", False),
        ("-4", b"", "HEAD", True),
    ],
)
def test_a_wrong_content_length_is_refused(length: str, body: bytes, method: str, refused: bool) -> None:
    response = RenderedResponse(headers=[("content-length", length)], body=body)
    with pytest.raises(ResponseRefused, match="the header Content-Length") if refused else nullcontext():
        check_length(response, method)
