"""Calls that give something else each time, or do something: the clock, randomness, the environment, files, sockets,
threads. Recognized by what `sys.setprofile` tells.
"""

from __future__ import annotations

import asyncio
import builtins
import dis
import gc
import inspect
import linecache
import os
import random
import socket
import sqlite3
import subprocess
import threading
import time
import uuid
import weakref
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import date
from types import BuiltinFunctionType, FrameType
from typing import Any

from emulator.testing.watching.appfiles import AppFiles
from emulator.testing.watching.yields import Place

_CLOCK = "use context.current_utc_datetime"
_RANDOM = "do it in an activity, or seed a random.Random with context.instance_id"
_UUID = "use context.new_uuid()"
_ENVIRONMENT = "read it in an activity, or hand it in as input"
IO = "do it in an activity"
_SLEEP = "yield context.create_timer(…)"

_Environ = type(os.environ)
# What is called when a mapping of the environment is read, one way or another.
_ENVIRON = ("_Environ.", "Mapping.", "MutableMapping.", "KeysView.", "ItemsView.", "ValuesView.")


def _all(module: Any, *names: str) -> list[Any]:
    """Those of them that this system has."""
    return [getattr(module, name) for name in names if hasattr(module, name)]


# What is found out by being the function that is called; named here, not used.
_FUNCTIONS: Mapping[object, str] = {
    **dict.fromkeys(
        _all(time, "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"), _CLOCK
    ),
    **dict.fromkeys(_all(time, "process_time", "process_time_ns", "thread_time", "thread_time_ns"), _CLOCK),
    time.sleep: _SLEEP,
    os.urandom: _RANDOM,  # secrets, random.SystemRandom
    **dict.fromkeys(_all(os, "getpid", "getppid", "getcwd", "cpu_count", "getlogin", "uname"), _ENVIRONMENT),
    socket.gethostname: _ENVIRONMENT,
    **dict.fromkeys(_all(os, "system", "stat", "lstat", "listdir", "scandir", "access", "open", "mkdir", "rmdir"), IO),
    **dict.fromkeys(_all(os, "remove", "unlink", "rename", "replace", "link", "symlink", "truncate", "chmod"), IO),
    # Functions of C on Windows; elsewhere they are Python and call os.stat.
    **dict.fromkeys(_all(os.path, "exists", "lexists", "isfile", "isdir", "islink"), IO),
    builtins.open: IO,
    builtins.input: IO,
    sqlite3.connect: IO,
    socket.gethostbyname: IO,
}
# These mean the present moment only when they get no more than so many arguments.
_NOW_WITHOUT_ARGUMENTS: Mapping[object, int] = {
    time.localtime: 0,
    time.gmtime: 0,
    time.ctime: 0,
    time.asctime: 0,
    time.strftime: 1,
}
_CALLS = frozenset(("PRECALL", "CALL"))
# What is found out by the code that begins to run.
_CODES: Mapping[object, str] = {
    _Environ.__getitem__.__code__: _ENVIRONMENT,
    _Environ.__iter__.__code__: _ENVIRONMENT,
    uuid.uuid1.__code__: _UUID,
    uuid.uuid4.__code__: _UUID,  # noqa: TID251
    random.Random.seed.__code__: _RANDOM,
    socket.getaddrinfo.__code__: IO,
    threading.Thread.start.__code__: IO,
    threading.Thread.join.__code__: IO,
    threading.Condition.wait.__code__: _SLEEP,
    subprocess.Popen.__init__.__code__: IO,
    asyncio.run.__code__: IO,
}
_TODAY = frozenset(("now", "utcnow", "today"))
_SOCKET = frozenset(("connect", "connect_ex", "send", "sendall", "sendto", "recv", "recv_into", "recvfrom", "accept"))

# Whatever is called through one of these is nobody's decision: an import, the text of a traceback, a log line's time,
# the end of something that is collected, the SDK, the parts of a date that a text does not have, the rules of a time
# zone, what a library does when it is used first.
_IMPORT = "<frozen importlib"
_INNOCENT_FILES = frozenset((inspect.__file__, linecache.__file__, weakref.__file__))
_INNOCENT_PARTS = tuple(
    part.replace("/", os.sep)
    for part in (
        "/logging/__init__.py",
        "/logging/handlers.py",
        "/azure/durable_functions/",
        "/azure/functions/",
        "/dateutil/",
        "/pytz/",
        "/zoneinfo/",
        "/pydantic/plugin/",
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """`caller` made it, of something `called` so. `instead`: what an orchestrator is to do."""

    caller: FrameType
    called: str
    instead: str


def unrepeatable_call(frame: FrameType, event: str, argument: Any) -> Call | None:
    """The arguments are those of a function of `sys.setprofile`."""
    if event == "c_call":
        instead = _instead_of_function(argument, frame)
        return None if instead is None else Call(frame, str(getattr(argument, "__qualname__", argument)), instead)
    if event == "call" and frame.f_code in _CODES and frame.f_back is not None and not _is_seeded(frame):
        return Call(frame.f_back, frame.f_code.co_qualname, _CODES[frame.f_code])
    return None


@dataclass(frozen=True, slots=True)
class Deed:
    """`what` the app's code did at a place, and what it is to do `instead`, for people."""

    what: str
    instead: str
    place: Place


def deed_of_app(call: Call, files: AppFiles) -> Deed | None:
    """Where the app's code made the call, perhaps through others. None when it was not the app that did."""
    frame: FrameType | None = call.caller
    called, place, collectors = call.called, None, _collectors()
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_IMPORT):
            return None
        if place is None:
            if code in collectors or code.co_name == "__del__":
                return None
            if code.co_filename in files:
                place = Place(code.co_filename, frame.f_lineno)
            elif _is_innocent(code.co_filename):
                return None
            else:
                called = code.co_qualname
        frame = frame.f_back
    if place is None:
        return None
    if called.startswith(_ENVIRON):
        return Deed("reads os.environ", _ENVIRONMENT, place)
    if call.instead != _ENVIRONMENT or called in (call.called, "getenv"):
        return Deed(f"calls {called}()", call.instead, place)
    # A library's setting is not what the app is after.
    return Deed(f"calls {called}()", IO, place)


def _is_innocent(file: str) -> bool:
    return file in _INNOCENT_FILES or any(part in file for part in _INNOCENT_PARTS)


def _collectors() -> Set[object]:
    """The code that garbage collection runs in the midst of whatever runs, which has not called it."""
    return {getattr(callback, "__code__", None) for callback in gc.callbacks}


def _is_seeded(frame: FrameType) -> bool:
    return frame.f_code is random.Random.seed.__code__ and frame.f_locals.get("a") is not None


def _instead_of_function(function: Any, frame: FrameType) -> str | None:
    if not isinstance(function, BuiltinFunctionType):
        return None
    owner = function.__self__
    if isinstance(owner, type) and issubclass(owner, date) and function.__name__ in _TODAY:
        return _CLOCK
    # Only the module's own generator: one that was seeded gives the same numbers again.
    if owner is getattr(random, "_inst", None) or isinstance(owner, random.SystemRandom):
        return _RANDOM
    if isinstance(owner, socket.socket) and function.__name__ in _SOCKET:
        return IO
    if function in _NOW_WITHOUT_ARGUMENTS and _has_at_most(_NOW_WITHOUT_ARGUMENTS[function], frame):
        return _CLOCK
    return _FUNCTIONS.get(function)


def _has_at_most(count: int, caller: FrameType) -> bool:
    """Whether the call that `caller` is about to make has so few arguments. False when that cannot be told."""
    code, at = caller.f_code.co_code, caller.f_lasti
    return dis.opname[code[at]] in _CALLS and code[at + 1] <= count
