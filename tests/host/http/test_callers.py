"""Who may call the management API, the admin API and the RPC listener. All routes: keys/test_access.py."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import aiohttp
import pytest

from emulator.config.start import StartOptions, configure
from emulator.errors import ConfigurationError
from tests.conformance import CONFORMANCE_APP, client_binding
from tests.running_apps import HTTP_APP, OPTION, RunningApp, copy_app, run_app

APP = """
@app.route(route="hello")
def hello(req: func.HttpRequest) -> str:
    return req.url
"""
STATUS = "/admin/host/status"


async def status_of(app: RunningApp, head: str) -> int:
    """Send the head of a request and return the status of the response."""
    answer = await app.raw(f"{head}\r\nConnection: close\r\n\r\n".encode())
    return int(answer.split()[1])


async def test_a_refusal_says_why_and_what_to_do(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with run_app(tmp_path, HTTP_APP, APP) as app:
        for _ in range(2):
            answer = await app.get(STATUS, headers={"Host": "evil.example:7071"})
            assert answer.status == 403
            assert '"evil.example"' in answer.text
            assert "--host-names evil.example" in answer.text
            assert "AZEMU_ALLOWED_HOSTS" in answer.text
        answer = await app.post("/admin/host/log", headers={"Origin": "http://evil.example"})
        assert answer.status == 403
        assert "(http://evil.example)" in answer.text
        assert "--cors" in answer.text
    assert len([record for record in caplog.records if '"evil.example"' in record.message]) == 1


async def test_forms_of_request_targets(tmp_path: Path) -> None:
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app")) as app:
        port, instances = app.app.port, "/runtime/webhooks/durabletask/instances"
        for head, status in (
            (f"GET http://localhost:{port}{STATUS} HTTP/1.1\r\nHost: localhost:{port}", 200),
            (f"GET http://LOCALHOST{STATUS}?a=b HTTP/1.1\r\nHost: localhost:80", 200),
            (f"GET http://[::1]:{port}{instances}?top=1 HTTP/1.1\r\nHost: [::1]:{port}", 200),
            (f"GET http://evil.example{STATUS} HTTP/1.1\r\nHost: localhost", 400),
            (f"GET http://localhost:1{STATUS} HTTP/1.1\r\nHost: localhost:2", 400),
            (f"GET http://localhost@evil.example{STATUS} HTTP/1.1\r\nHost: localhost", 400),
            (f"GET http://localhost{STATUS} HTTP/1.1\r\nHost: evil.example", 400),
            (f"GET http://evil.example{STATUS} HTTP/1.1\r\nHost: evil.example", 403),
            ("CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost", 400),
            (f"GET {STATUS} HTTP/1.1\r\nHost: localhost\r\nHost: evil.example", 400),
            # No browser sends these; a host that has not been named is unknown, too.
            (f"GET {STATUS} HTTP/1.0", 403),
            (f"GET {STATUS} HTTP/1.0\r\nHost: localhost", 200),
            (
                "POST /admin/host/log HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil",
                403,
            ),
            (
                f"GET {instances} HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nOrigin: http://evil.example",
                403,
            ),
        ):
            assert await status_of(app, head) == status, head


async def test_functions_take_every_host(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, APP) as app:
        answer = await app.post("/api/hello", headers={"Host": "tunnel.example", "Origin": "http://evil.example"})
        assert (answer.status, answer.text) == (200, "http://tunnel.example/api/hello")


async def test_names_of_the_setting_and_of_the_option_are_accepted(tmp_path: Path) -> None:
    settings = {"AZEMU_ALLOWED_HOSTS": "one.example, [2001:db8:0::1]"}
    async with run_app(tmp_path, HTTP_APP, APP, settings=settings, host_names="Two.example,three_3") as app:
        for host, status in (
            ("one.example", 200),
            ("[2001:DB8::1]:7071", 200),
            ("two.EXAMPLE:1", 200),
            ("three_3", 200),
            ("x.one.example", 403),
        ):
            assert (await app.get(STATUS, headers={"Host": host})).status == status, host


@pytest.mark.parametrize("text", ["http://a", "a:7071", "[::1]:80", "*", "a b", "a/b", "-"])
def test_what_is_not_a_host_name_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--host-names: .* is not a host name"):
        configure(StartOptions(app=tmp_path, host_names=f"a,{text}"), os.environ)
    with pytest.raises(ConfigurationError, match=r"the setting AZEMU_ALLOWED_HOSTS: .* is not a host name"):
        configure(StartOptions(app=tmp_path, settings={"AZEMU_ALLOWED_HOSTS": text}), os.environ)


async def test_an_open_address_accepts_the_names_of_the_machine_and_warns(tmp_path: Path) -> None:
    machine = socket.gethostname()
    async with run_app(tmp_path, HTTP_APP, APP, address="0.0.0.0") as app:
        [warning] = [text for text in app.app.configuration.warnings if "listens on 0.0.0.0" in text]
        assert "--enable-auth" in warning
        for host, status in (
            (machine, 200),
            (machine.partition(".")[0].upper(), 200),
            ("localhost", 200),
            # The address at which this request arrives.
            ("127.0.0.1", 200),
            ("evil.example", 403),
            ("192.0.2.1", 403),
        ):
            assert (await app.get(STATUS, headers={"Host": host})).status == status, host
    for address in ("127.0.0.1", "::1", None):
        configuration = configure(StartOptions(app=tmp_path, address=address), os.environ)
        assert [text for text in configuration.warnings if "listens on" in text] == []


async def test_forwarded_hosts_make_urls_only_if_the_user_has_named_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {f"{OPTION}httpSettings__useForwardedHost": "true"}
    path = "/runtime/webhooks/durabletask/orchestrators/hello_one"
    async with run_app(
        copy_app(CONFORMANCE_APP, tmp_path / "app"), settings=settings, host_names="proxy.example"
    ) as app:
        for name, origin in (
            ("proxy.example", f"https://proxy.example:{app.app.port}/"),
            ("evil.example", f"http://127.0.0.1:{app.app.port}/"),
            ("evil.example", f"http://127.0.0.1:{app.app.port}/"),
        ):
            headers = {"X-Forwarded-Host": name, "X-Forwarded-Proto": "https"}
            answer = await app.post(path, b'"x"', headers=headers)
            assert answer.headers["Location"].startswith(origin)
    assert len([record for record in caplog.records if "--host-names evil.example" in record.message]) == 1


async def test_the_rpc_listener_needs_its_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app"), enable_auth=True) as app:
        payload = await client_binding(app)
        url, system_key = str(payload["rpcBaseUrl"]), payload["requiredQueryStringParameters"]
        assert str(system_key).startswith("code=")
        origin, _, path = url.partition("/durabletask/")
        token = path.removesuffix("/")
        assert len(token) == 48

        async def post(address: str, **headers: str) -> tuple[int, str]:
            async with app.session.post(f"{address}orchestrators/hello_one", data='"x"', headers=headers) as answer:
                return answer.status, await answer.text()

        status, text = await post(url)
        assert (status, system_key in text) == (202, True)
        for wrong in (
            f"{origin}/",
            f"{origin}/durabletask/",
            f"{origin}/durabletask/{token[:-1]}/",
            f"{origin}/durabletask/{'0' * 48}/",
            f"{origin}/durabletask/{token}0/",
            f"{origin}/other/../durabletask/{'0' * 48}/",
            f"{origin}/durabletask/%C3%A4{token}/",
        ):
            status, text = await post(wrong)
            assert (status, system_key in text) == (403, False), wrong
            assert "rpcBaseUrl" in json.loads(text)["Message"]
        for headers in (
            {"Host": "evil.example"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            status, text = await post(url, **headers)
            assert (status, system_key in text) == (403, False), headers
    assert "Opened local http RPC endpoint" in caplog.text
    assert token not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("Host."))


async def test_each_run_has_another_token(tmp_path: Path) -> None:
    folder = copy_app(CONFORMANCE_APP, tmp_path / "app")
    tokens = set()
    for _ in range(2):
        async with run_app(folder) as app:
            tokens.add(str((await client_binding(app))["rpcBaseUrl"]).split("/")[-2])
    assert len(tokens) == 2


async def test_another_process_uses_the_url_of_the_binding(tmp_path: Path) -> None:
    """Code without the SDK, such as a child process of the app, joins the URL of the binding and a path."""
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app")) as app:
        url = str((await client_binding(app))["rpcBaseUrl"])
        async with aiohttp.ClientSession() as session, session.get(url + "instances?top=5") as answer:
            assert (answer.status, await answer.json()) == (200, [])
