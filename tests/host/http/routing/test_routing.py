"""Matching of paths against route templates, as in ASP.NET Core's conventional routing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.host.http.routing.matching import match
from emulator.host.http.routing.paths import has_dot_segments, normalized_path, split_path
from emulator.host.http.routing.templates import TemplateError, parse_template

Values = dict[str, str] | None


def matched(template: str, raw_path: str) -> Values:
    path = normalized_path(raw_path)
    segments = None if path is None else split_path(path)
    return None if segments is None else match(parse_template(template), segments)


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        # Literals.
        ("api/items", "/api/items", {}),
        ("api/items", "/API/Items", {}),
        ("api/items", "/api/items/", {}),
        ("api/items", "/api/items//", None),
        ("api/items", "/api//items", None),
        ("api/items", "/api", None),
        ("api/items", "/api/items/1", None),
        ("", "/", {}),
        ("", "/x", None),
        ("/api/items/", "/api/items", {}),
        ("~/api/items", "/api/items", {}),
        ("a{{b}}", "/a{b}", {}),
        ("straße", "/stra%C3%9Fe", {}),
        ("a b", "/a%20b", {}),
        # Parameters.
        ("api/items/{id}", "/api/items/Ab", {"id": "Ab"}),
        ("api/items/{id}", "/api/items/", None),
        ("api/items/{id}", "/api/items/1/2", None),
        ("{a}/{b}", "/x/y", {"a": "x", "b": "y"}),
        ("{a}/x/{b}", "/1/X/2", {"a": "1", "b": "2"}),
        ("{id}", "/%C3%A4%20b", {"id": "ä b"}),
        ("{id}", "/a%2Fb", {"id": "a%2Fb"}),
        ("{id}", "/a%2fb", {"id": "a%2fb"}),
        ("{id}", "/a+b", {"id": "a+b"}),
        ("{id}", "/%ff", {"id": "%FF"}),
        ("{id}", "/100%", {"id": "100%"}),
        # Optional, default, catch-all.
        ("api/x/{id?}", "/api/x", {}),
        ("api/x/{id?}", "/api/x/7", {"id": "7"}),
        ("api/x/{id?}", "/api/x/7/8", None),
        ("{a?}/{b?}", "/", {}),
        ("{a?}/{b?}", "/1", {"a": "1"}),
        ("{a?}/b", "/b", None),
        ("x/{a=1}/{b=2}", "/x", {"a": "1", "b": "2"}),
        ("x/{a=1}/{b=2}", "/x/7", {"a": "7", "b": "2"}),
        ("files/{*path}", "/files", {}),
        ("files/{*path}", "/files/a/b.txt", {"path": "a/b.txt"}),
        ("files/{**path}", "/files/a%2Fb/c", {"path": "a%2Fb/c"}),
        ("files/{*path=index.html}", "/files", {"path": "index.html"}),
        ("{*all}", "/", {}),
        # Complex segments.
        ("{name}.{extension}", "/a.b.txt", {"name": "a.b", "extension": "txt"}),
        ("{name}.{extension}", "/a.", None),
        ("{name}.{extension}", "/a", None),
        ("{name}.{extension?}", "/a", {"name": "a"}),
        ("{name}.{extension?}", "/a.txt", {"name": "a", "extension": "txt"}),
        ("{name}.{extension?}", "/a.", None),
        ("pre-{a}", "/PRE-x", {"a": "x"}),
        ("pre-{a}", "/pre-", None),
        ("pre-{a}-post", "/pre-x-y-post", {"a": "x-y"}),
        ("{a}-{b}-{c}", "/1-2-3-4", {"a": "1-2", "b": "3", "c": "4"}),
        ("{a}-{b}-{c}", "/--1--", {"a": "-", "b": "1", "c": "-"}),
        ("{a}-{b}", "/--", None),
        # The example of ASP.NET Core's documentation: the last `a` is taken, and the first one is left over.
        ("a{b}c{d}", "/abcd", {"b": "b", "d": "d"}),
        ("a{b}c{d}", "/aabcd", None),
        ("a{b}c{d}", "/aacd", {"b": "a", "d": "d"}),
        ("xyz{id}xyz", "/xyz1xyz", {"id": "1"}),
        ("xyz{id}xyz", "/xyzxyzxyzxyz", None),
        ("{a}.{b?}", "/.", None),
        ("ä{a}Ä{b}", "/%C3%841%C3%A42", {"a": "1", "b": "2"}),
        ("v{major}.{minor}", "/v1.2", {"major": "1", "minor": "2"}),
        ("a({b})", "/a(1)", {"b": "1"}),
    ],
)
def test_matching(template: str, path: str, values: Values) -> None:
    assert matched(template, path) == values


@pytest.mark.parametrize(
    ("constraint", "accepted", "refused"),
    [
        ("int", ["0", "-5", "+5", "2147483647"], ["2147483648", "1.0", "abc", "0x1", "1_000", "²"]),
        ("long", ["9223372036854775807", "-9223372036854775808"], ["9223372036854775808", "1e3"]),
        ("bool", ["true", "FALSE"], ["1", "yes"]),
        ("decimal", ["1", "1.5", "-1,000.25", ".5"], ["1e5", "NaN", "1.2.3", "79228162514264337593543950336"]),
        ("double", ["1e5", "-1.5E-3", "NaN", "Infinity", "1,000"], ["1f", "0x10", "1e"]),
        ("float", ["1.5"], ["one"]),
        (
            "datetime",
            ["2024-02-29", "2024-01-31T10:00:00Z", "2024-01-31 10:00", "1-31-2024", "31 Jan 2024", "10:30 PM"],
            ["2023-02-29", "2024-13-01", "tomorrow", "20240131"],
        ),
        (
            "guid",
            [
                "CD2C1638-1638-72D5-1638-DEADBEEF1638",
                "cd2c1638163872d51638deadbeef1638",
                "{cd2c1638-1638-72d5-1638-deadbeef1638}",
                "(cd2c1638-1638-72d5-1638-deadbeef1638)",
            ],
            ["cd2c1638", "{cd2c1638-1638-72d5-1638-deadbeef1638)"],
        ),
        ("alpha", ["abc", "ABC"], ["a1", "ä"]),
        ("length(3)", ["abc"], ["ab", "abcd"]),
        ("length(2,3)", ["ab", "abc"], ["a", "abcd"]),
        ("minlength(3)", ["abc", "abcd"], ["ab"]),
        ("maxlength(3)", ["a", "abc"], ["abcd"]),
        ("min(18)", ["18", "99"], ["17", "x"]),
        ("max(120)", ["-1", "120"], ["121"]),
        ("range(18,120)", ["18", "120"], ["17", "121", "1.5"]),
        (r"regex(^\d{{3}}-\d{{4}}$)", ["555-1234"], ["5555-1234", "abc"]),
        ("regex(b+)", ["abbc", "B"], ["ac"]),
        ("regex((?<x>a)|b)", ["A"], ["c"]),
        ("required", ["x"], []),
        ("file", ["a.txt", ".gitignore"], ["a", "a."]),
        ("nonfile", ["a", "a."], ["a.txt"]),
        ("int:min(1)", ["1"], ["0", "x"]),
        ("INT", ["1"], ["x"]),
    ],
)
def test_constraints(constraint: str, accepted: list[str], refused: list[str]) -> None:
    template = f"x/{{value:{constraint}}}"
    assert [value for value in accepted if matched(template, f"/x/{value}") != {"value": value}] == []
    assert [value for value in refused if matched(template, f"/x/{value}") is not None] == []


def test_an_absent_optional_parameter_satisfies_its_constraint() -> None:
    assert matched("x/{id:int?}", "/x") == {}
    assert matched("x/{id:int?}", "/x/7") == {"id": "7"}
    assert matched("x/{id:int?}", "/x/seven") is None


def test_constraints_apply_to_defaults_and_whole_catch_all_values() -> None:
    assert matched("x/{id:int=7}", "/x") == {"id": "7"}
    assert matched("x/{*path:regex(^a/b$)}", "/x/a/b") == {"path": "a/b"}
    assert matched("x/{*path:required}", "/x") is None
    assert matched("x/{*path:file}", "/x/a.b/c") is None


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("a//b", "separator character '/' cannot appear consecutively"),
        ("a/{b", "incomplete parameter"),
        ("a/b}", "incomplete parameter"),
        ("a/{}", "The route parameter name '' is invalid"),
        ("a/{b*}", "The route parameter name 'b*' is invalid"),
        ("a/{***b}", "is invalid"),
        ("a/b?", "Literal sections cannot contain the '?' character"),
        ("{a}/{A}", "The route parameter name 'A' appears more than one time"),
        ("{a}{b}", "cannot contain two consecutive parameters"),
        ("{*a}/b", "A catch-all parameter can only appear as the last segment"),
        ("x{*a}", "cannot contain a catch-all parameter"),
        ("{*a?}", "A catch-all parameter cannot be marked optional"),
        ("{a=1?}", "An optional parameter cannot have default value"),
        ("{a?}x", "optional parameter 'a' is followed by 'x'"),
        ("x{a?}", "Only a period (.) can precede an optional parameter"),
        ("{a:unknown}", "there is no constraint 'unknown'"),
        ("{a:length(x)}", "'x' should be 1 or 2 whole number(s)"),
        ("{a:range(2,1)}", "must be less than or equal to"),
        ("{a:regex([)}", "is not a regular expression"),
    ],
)
def test_an_invalid_template_has_the_message_of_asp_net_core(template: str, problem: str) -> None:
    with pytest.raises(TemplateError) as refused:
        parse_template(template)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a/b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/../../../etc/passwd", "/etc/passwd"),
        ("/a/..%2f..%2fb", "/a/..%2f..%2fb"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/..", "/"),
        ("/...", "/..."),
        ("/a..b/.c", "/a..b/.c"),
        ("/a\\..\\b", "/a\\..\\b"),
        ("/%C3%A4", "/ä"),
        ("/%C3%28", "/%C3("),
        ("/a%00b", None),
        ("*", None),
        ("", None),
    ],
)
def test_paths_are_decoded_once_and_stay_below_the_root(raw: str, path: str | None) -> None:
    assert normalized_path(raw) == path


@given(st.text(alphabet="/.%2eEfFaä\\\0", max_size=30))
def test_no_generated_path_leaves_the_root(raw: str) -> None:
    path = normalized_path("/" + raw)
    if path is not None:
        assert path.startswith("/")
        assert not {".", ".."} & set(path.split("/"))


@pytest.mark.parametrize("raw", ["/a/../b", "/a/./b", "/a/%2e%2E/b", "/a/.", "/a/.%2e"])
def test_dot_segments_are_detected(raw: str) -> None:
    assert has_dot_segments(raw)


@pytest.mark.parametrize("raw", ["/a/b", "/a..b", "/.a", "/a/...", "/a/..%2fb"])
def test_other_dots_are_not_dot_segments(raw: str) -> None:
    assert not has_dot_segments(raw)
