"""What asyncio says of clients that come in crowds or go away, and what it says of our own mistakes."""

from __future__ import annotations

import asyncio
import errno
import logging

import pytest

from emulator.process.client_errors import quiet_client_errors

FULL = {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, "Too many open files")}
GONE = {
    "message": "Exception in callback _ProactorBasePipeTransport._call_connection_lost(None)",
    "exception": ConnectionResetError(10054, "An existing connection was forcibly closed by the remote host"),
}


async def test_a_crowd_is_one_warning_and_a_client_that_goes_none(caplog: pytest.LogCaptureFixture) -> None:
    with quiet_client_errors():
        for context in (FULL, GONE, FULL, GONE):
            asyncio.get_running_loop().call_exception_handler(context)
    [said] = [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert said.getMessage().startswith("Too many open connections")
    assert said.exc_info is None


async def test_everything_else_is_said_as_before(caplog: pytest.LogCaptureFixture) -> None:
    with quiet_client_errors():
        asyncio.get_running_loop().call_exception_handler({"message": "ours", "exception": ValueError("a mistake")})
    [said] = caplog.records
    assert (said.name, said.getMessage()) == ("asyncio", "ours")
    assert said.exc_info is not None


async def test_others_who_listened_before_do_so_again() -> None:
    heard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: heard.append(context["message"]))
    with quiet_client_errors():
        loop.call_exception_handler({"message": "inside"})
    loop.call_exception_handler({"message": "after"})
    assert heard == ["inside", "after"]
