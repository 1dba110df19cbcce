"""Routing of HTTP requests to functions, and responses to requests that no route matches."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from emulator.extensions.http.extension import check_properties
from emulator.host.port import InvalidFunction
from emulator.worker.port import Binding
from tests.running_apps import HTTP_APP, run_app

NAMES = """
def answers(name):
    def answer(req: func.HttpRequest) -> func.HttpResponse:
        return func.HttpResponse(name + " " + json.dumps(dict(req.route_params)))
    answer.__name__ = name
    return answer

def route(name, route=None, **options):
    app.route(route=route, **options)(answers(name))
"""


def routes(*calls: str) -> str:
    return NAMES + "\n".join(f"route({call})" for call in calls)


@pytest.mark.parametrize(
    "path", ["/nothing", "/api", "/api/", "/api/nothing", "/favicon.ico", "/admin", "/runtime", "//"]
)
async def test_an_unknown_path_is_an_empty_404(tmp_path: Path, path: str) -> None:
    async with run_app(tmp_path, HTTP_APP, routes("'f'")) as site:
        answer = await site.get(path)
        assert (answer.status, answer.body, answer.headers["Content-Length"]) == (404, b"", "0")


async def test_a_wrong_method_is_a_404_and_head_is_not_get(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, routes("'f', methods=['GET']")) as site:
        assert (await site.get("/api/f")).status == 200
        for method in ("POST", "HEAD", "OPTIONS"):
            assert (await site.request(method, "/api/f")).status == 404


async def test_one_path_may_have_several_functions_by_method(tmp_path: Path) -> None:
    async with run_app(
        tmp_path, HTTP_APP, routes("'a', 'x', methods=['GET']", "'b', 'x', methods=['POST', 'PUT']")
    ) as site:
        assert (await site.get("/api/x")).text == "a {}"
        assert (await site.post("/api/x")).text == "b {}"


async def test_routes_are_tried_in_the_order_of_the_names(tmp_path: Path) -> None:
    source = routes("'z_exact', 'items/new'", "'A_any', 'items/{id}'", "'b_number', 'items/{id:int}'")
    async with run_app(tmp_path, HTTP_APP, source) as site:
        assert (await site.get("/api/items/new")).text == 'A_any {"id": "new"}'
        assert (await site.get("/api/items/7")).text == 'A_any {"id": "7"}'


async def test_a_shadowed_route_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = routes("'a', 'items/{id}', methods=['GET']", "'b', 'items/new'", "'c', 'items/old', methods=['GET']")
    async with run_app(tmp_path, HTTP_APP, source):
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("Function 'c' will never be called: function 'a' takes all requests")


async def test_a_route_with_parameters_behind_a_more_general_one_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = routes(
        "'a', 'shop/{*rest}'",
        "'b', 'shop/{id}/items/{item:int?}'",
        "'c', 'users/{id:int}'",
        "'d', 'users/{name}'",
        "'e', 'users/{key}'",
        "'f', 'short/{word:maxlength(5)}'",
        "'g', 'short/{word}'",
        "'h', 'flat/{id}'",
        "'i', 'flat/{*path}'",
        "'j', 'flat/{id?}'",
        "'k', 'files/{name}.{ending}'",
        "'l', 'files/{name}.txt'",
    )
    async with run_app(tmp_path, HTTP_APP, source):
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [warning.partition(" takes all")[0] for warning in warnings] == [
        "Function 'b' will never be called: function 'a'",
        "Function 'e' will never be called: function 'd'",
        "Function 'j' will never be called: function 'i'",
    ]


async def test_a_setting_in_a_route_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = routes("'a', '%PREFIX%/x'", "'b', 'items/a%20b%20c'", "'c', '%GIVEN%'")
    async with run_app(tmp_path, HTTP_APP, source, settings={"GIVEN": "given"}) as site:
        assert (await site.get("/api/given")).status == 404
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [warning.partition(".")[0] for warning in warnings] == [
        "The route 'api/%PREFIX%/x' of function 'a' contains %PREFIX%",
        "The route 'api/%GIVEN%' of function 'c' contains %GIVEN%",
    ]
    assert ["(which is not set)" in warning for warning in warnings] == [True, False]


async def test_a_failed_constraint_lets_the_next_route_match(tmp_path: Path) -> None:
    source = routes("'a', 'items/{id:int}'", "'b', 'items/{name:alpha}'", "'c', '{*rest}'")
    async with run_app(tmp_path, HTTP_APP, source) as site:
        assert (await site.get("/api/items/7")).text == 'a {"id": "7"}'
        assert (await site.get("/api/Items/X")).text == 'b {"name": "X"}'
        assert (await site.get("/api/items/x-1")).text == 'c {"rest": "items/x-1"}'
        assert (await site.get("/api")).text == "c {}"


@pytest.mark.parametrize(("prefix", "path"), [("", "/f"), ("v1/my", "/V1/my/f"), ("/api/", "/api/f")])
async def test_route_prefix(tmp_path: Path, prefix: str, path: str) -> None:
    host = {"extensions": {"http": {"routePrefix": prefix}}}
    async with run_app(tmp_path, HTTP_APP, routes("'f'"), host=host) as site:
        assert (await site.get(path)).text == "f {}"
        assert (await site.get("/other/f")).status == 404


async def test_paths_stay_below_the_root(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, routes("'f', 'files/{*path}'")) as site:

        async def get(target: str) -> bytes:
            return await site.raw(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

        assert b'f {"path": "etc/passwd"}' in await get("/api/files/../../../api/files/etc/passwd")
        assert b'f {"path": "b"}' in await get("/api/files/a/%2e%2e/b")
        assert b'f {"path": "..%2F..%2Fb"}' in await get("/api/files/..%2F..%2Fb")
        assert b'"state":"Running"' in await get("/api/files/%2e%2e/../admin/host/status")
        assert (await get("/api/files/../../host.json")).startswith(b"HTTP/1.1 404 ")
        assert (await get("/api/files/a%00b")).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("properties", "problem"),
    [
        ({"methods": "get"}, "'methods' is \"get\"; allowed: an array of texts"),
        ({"methods": ["get", 1]}, "'methods' is [\"get\", 1]; allowed"),
        ({"authLevel": "superuser"}, "'authLevel' is \"superuser\"; allowed: anonymous, function, admin."),
        ({"authLevel": 2}, "'authLevel' is 2; allowed"),
    ],
)
def test_wrong_properties_of_a_function_json_are_refused(properties: dict[str, Any], problem: str) -> None:
    trigger = Binding(type="httpTrigger", name="req", direction="in", data_type="UNDEFINED", properties=properties)
    with pytest.raises(InvalidFunction, match=re.escape(problem)):
        check_properties(trigger)


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("admin/x", "The specified route conflicts with one or more built in routes."),
        ("/Runtime", "The specified route conflicts with one or more built in routes."),
        ("administration", "The specified route conflicts with one or more built in routes."),
        ("a/{b", "There is an incomplete parameter in the route template."),
        ("{a:nothing}", "there is no constraint 'nothing'"),
        ("ITEMS/", "The route specified conflicts with the route defined by function 'a'."),
    ],
)
async def test_an_invalid_route_disables_its_function_only(
    tmp_path: Path, route: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_app(tmp_path, HTTP_APP, routes("'a', 'items'", f"'b', '{route}'", "'c', 'other'")) as site:
        assert [function.name for function in site.app.host.catalog.functions] == ["a", "c"]
        errors = (await site.get("/admin/functions/b/status")).json()["errors"]
        assert problem in errors[0]
        assert (await site.get("/api/other")).text == "c {}"
    said = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert said == [f"The 'b' function is in error: {errors[0]}"]


async def test_similar_routes_do_not_conflict(tmp_path: Path) -> None:
    source = routes("'a', 'x/{p}'", "'b', 'x/{q}'", "'c', 'y', methods=['GET']", "'d', 'y', methods=['POST']")
    async with run_app(tmp_path, HTTP_APP, source) as site:
        assert len(site.app.host.catalog.functions) == 4


async def test_a_disabled_function_is_listed_but_not_found(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, routes("'f'"), settings={"AzureWebJobs.f.Disabled": "true"}) as site:
        assert (await site.get("/api/f")).status == 404
        assert (await site.get("/admin/functions/f")).json()["isDisabled"] is True


async def test_the_start_page(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, routes("'f'")) as site:
        answer = await site.get("/")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "Your function app is up and running" in answer.text
        assert (await site.post("/")).status == 404


async def test_the_start_page_can_be_switched_off(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, routes("'f'"), settings={"AzureWebJobsDisableHomepage": "true"}) as site:
        assert (await site.get("/")).status == 204


async def test_a_function_at_the_root_replaces_the_start_page(tmp_path: Path) -> None:
    host = {"extensions": {"http": {"routePrefix": ""}}}
    async with run_app(tmp_path, HTTP_APP, routes("'f', '{*all}'"), host=host) as site:
        assert (await site.get("/")).text == "f {}"
        assert (await site.get("/admin/host/status")).json()["state"] == "Running"
