"""The parser of HTTP responses, with responses cut at every place."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.storage.rest.response_parser import ResponseParser
from emulator.storage.rest.transport import Response

ANSWERS = {
    "length": (b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "0x1"\r\n\r\nhello', 200, b"hello"),
    "empty": (b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n", 201, b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n10;x=y\r\nlo\r\n0123456789ab\r\n0\r\n\r\n",
        200,
        b"hello\r\n0123456789ab",
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nDigest: abc\r\nMore: 1\r\n\r\n",
        200,
        b"x",
    ),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x"),
}


def read(reader: ResponseParser, pieces: list[bytes]) -> Response | None:
    answer = None
    for piece in pieces:
        assert answer is None
        answer = reader.feed(piece)
    return answer


@pytest.mark.parametrize("name", ANSWERS)
@given(cuts=st.lists(st.integers(1, 200), max_size=12))
def test_response_may_arrive_in_any_pieces(name: str, cuts: list[int]) -> None:
    content, status, body = ANSWERS[name]
    places = [0, *sorted({cut for cut in cuts if cut < len(content)}), len(content)]
    pieces = [content[start:end] for start, end in itertools.pairwise(places)]
    answer = read(ResponseParser(bodiless=False), pieces)
    assert answer is not None
    assert (answer.status, answer.body) == (status, body)


def test_headers_ignore_case_and_keep_their_spelling() -> None:
    answer = ResponseParser(bodiless=False).feed(
        b"HTTP/1.1 200 OK\r\nx-ms-meta-Author: ada : lovelace \r\nContent-Length:0\r\n\r\n"
    )
    assert answer is not None
    assert answer.headers["X-MS-META-AUTHOR"] == "ada : lovelace"
    assert answer.headers.get("nothing") is None
    assert dict(answer.headers) == {"x-ms-meta-Author": "ada : lovelace", "Content-Length": "0"}


def test_response_to_head_has_no_body_whatever_its_headers_say() -> None:
    answer = ResponseParser(bodiless=True).feed(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
    assert answer is not None
    assert answer.body == b""
    assert answer.headers["Content-Length"] == "99"


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    reader = ResponseParser(bodiless=False)
    assert reader.feed(b"HTTP/1.0 200 OK\r\n\r\nhel") is None
    assert reader.feed(b"lo") is None
    answer = reader.end_of_connection()
    assert answer is not None
    assert answer.body == b"hello"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ],
)
def test_incomplete_response_is_none_at_the_end_of_the_connection(content: bytes) -> None:
    reader = ResponseParser(bodiless=False)
    assert reader.feed(content) is None
    assert reader.end_of_connection() is None


@pytest.mark.parametrize(
    "content",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_invalid_responses_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ResponseParser(bodiless=False).feed(content)
