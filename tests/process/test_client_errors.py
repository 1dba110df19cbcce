"""Event loop errors: those that clients cause are short, all others stay as they are."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from emulator.process.client_errors import shorten_client_errors

FULL = {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, "Too many open files")}
GONE = {
    "message": "Exception in callback _ProactorBasePipeTransport._call_connection_lost(None)",
    "exception": ConnectionResetError(10054, "An existing connection was forcibly closed by the remote host"),
}


async def test_too_many_connections_are_one_warning_and_closed_ones_none(caplog: pytest.LogCaptureFixture) -> None:
    shorten_client_errors()
    for context in (FULL, GONE, FULL, GONE):
        asyncio.get_running_loop().call_exception_handler(context)
    [said] = [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert said.getMessage().startswith("Too many open connections")
    assert said.exc_info is None


async def test_other_errors_are_reported_by_asyncio(caplog: pytest.LogCaptureFixture) -> None:
    shorten_client_errors()
    asyncio.get_running_loop().call_exception_handler({"message": "ours", "exception": ValueError("a mistake")})
    [said] = caplog.records
    assert (said.name, said.getMessage()) == ("asyncio", "ours")
    assert said.exc_info is not None


async def test_other_errors_are_passed_on_to_the_previous_handler() -> None:
    heard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: heard.append(context["message"]))
    shorten_client_errors()
    for context in (GONE, {"message": "ours"}):
        loop.call_exception_handler(context)
    assert heard == ["ours"]
