"""Side effects of orchestrator code: calls that orchestrators must not make, recognized with `sys.setprofile`.

These are calls that return something else each time, or that do something outside the orchestrator: the clock,
randomness, the environment, files, sockets, processes, threads.
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
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import BuiltinFunctionType, FrameType
from typing import Any

from emulator.testing.observers.app_files import AppFiles
from emulator.worker.yields import Place

# What to do instead, for each kind of call.
_CLOCK = "use context.current_utc_datetime"
_RANDOM = "do it in an activity, or seed a random.Random with context.instance_id"
_UUID = "use context.new_uuid()"
_ENVIRONMENT = "read it in an activity, or pass it as input"
IO = "do it in an activity"
_SLEEP = "yield context.create_timer(…)"

_Environ = type(os.environ)
# Qualified names of what runs when a mapping of the environment is read, in one way or another.
_ENVIRON = ("_Environ.", "Mapping.", "MutableMapping.", "KeysView.", "ItemsView.", "ValuesView.")


def _existing(module: Any, *names: str) -> list[Any]:
    # Some functions exist on some operating systems only.
    return [getattr(module, name) for name in names if hasattr(module, name)]


# Functions written in C. The profiler passes the function object itself.
_FUNCTIONS: Mapping[object, str] = {
    **dict.fromkeys(
        _existing(time, "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"), _CLOCK
    ),
    **dict.fromkeys(_existing(time, "process_time", "process_time_ns", "thread_time", "thread_time_ns"), _CLOCK),
    time.sleep: _SLEEP,
    # The module secrets and random.SystemRandom end here.
    os.urandom: _RANDOM,
    **dict.fromkeys(_existing(os, "getpid", "getppid", "getcwd", "cpu_count", "getlogin", "uname"), _ENVIRONMENT),
    socket.gethostname: _ENVIRONMENT,
    **dict.fromkeys(
        _existing(os, "system", "stat", "lstat", "listdir", "scandir", "access", "open", "mkdir", "rmdir"), IO
    ),
    **dict.fromkeys(_existing(os, "remove", "unlink", "rename", "replace", "link", "symlink", "truncate", "chmod"), IO),
    # Written in C on Windows only; elsewhere they are Python code that calls os.stat.
    **dict.fromkeys(_existing(os.path, "exists", "lexists", "isfile", "isdir", "islink"), IO),
    builtins.open: IO,
    builtins.input: IO,
    sqlite3.connect: IO,
    socket.gethostbyname: IO,
}
# These return the current time only if they get at most this many arguments; with more, they convert a given time.
_NOW_WITHOUT_ARGUMENTS: Mapping[object, int] = {
    time.localtime: 0,
    time.gmtime: 0,
    time.ctime: 0,
    time.asctime: 0,
    time.strftime: 1,
}
_CALL_OPCODES = frozenset(("PRECALL", "CALL"))
# Functions written in Python. The profiler passes their frame, and so their code.
_CODES: Mapping[object, str] = {
    _Environ.__getitem__.__code__: _ENVIRONMENT,
    _Environ.__iter__.__code__: _ENVIRONMENT,
    uuid.uuid1.__code__: _UUID,
    uuid.uuid4.__code__: _UUID,
    random.Random.seed.__code__: _RANDOM,
    socket.getaddrinfo.__code__: IO,
    threading.Thread.start.__code__: IO,
    threading.Thread.join.__code__: IO,
    threading.Condition.wait.__code__: _SLEEP,
    subprocess.Popen.__init__.__code__: IO,
    asyncio.run.__code__: IO,
}
_NOW_METHODS = frozenset(("now", "utcnow", "today"))
_SOCKET_METHODS = frozenset(
    ("connect", "connect_ex", "send", "sendall", "sendto", "recv", "recv_into", "recvfrom", "accept")
)

# Calls through this code are not decisions of the orchestrator: imports, texts of tracebacks, the time of a log record,
# finalizers, the SDK, missing parts of a parsed date, time zone rules, what a library does on its first use.
_IMPORT_SYSTEM = "<frozen importlib"
_ALLOWED_FILES = frozenset((inspect.__file__, linecache.__file__, weakref.__file__))
_ALLOWED_PARTS = tuple(
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
class ForbiddenCall:
    """A call that an orchestrator must not make. `caller`: the calling frame; `called`: the qualified name.

    `instead`: what an orchestrator should do.
    """

    caller: FrameType
    called: str
    instead: str


@dataclass(frozen=True, slots=True)
class SideEffect:
    """A side effect at a place in the app's code: `what` it does, and what to do `instead`, for messages."""

    what: str
    instead: str
    place: Place


def forbidden_call(frame: FrameType, event: str, argument: Any) -> ForbiddenCall | None:
    """Return the call if it is forbidden. The arguments are those of a `sys.setprofile` function."""
    code = frame.f_code
    if event == "c_call":
        instead = _instead_of_c_function(argument, frame)
        return None if instead is None else ForbiddenCall(frame, getattr(argument, "__qualname__", ""), instead)
    if event != "call" or code not in _CODES or frame.f_back is None:
        return None
    # random.Random(seed) gives the same numbers again.
    if code is random.Random.seed.__code__ and frame.f_locals.get("a") is not None:
        return None
    return ForbiddenCall(frame.f_back, code.co_qualname, _CODES[code])


def side_effect_of_app(call: ForbiddenCall, files: AppFiles) -> SideEffect | None:
    """Return what the app's code does by this call, directly or through a library; None if the app is not the cause."""
    frame: FrameType | None = call.caller
    called, place = call.called, None
    # Garbage collection runs its callbacks in the middle of any code, which has not called them.
    gc_callbacks = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        code = frame.f_code
        # Also above the app's code: a module that is imported by the orchestrator may do anything, once.
        if code.co_filename.startswith(_IMPORT_SYSTEM):
            return None
        if place is None:
            if code in gc_callbacks or code.co_name == "__del__":
                return None
            if code.co_filename in files:
                place = Place(code.co_filename, frame.f_lineno)
            elif code.co_filename in _ALLOWED_FILES or any(part in code.co_filename for part in _ALLOWED_PARTS):
                return None
            else:
                # Name what the app calls, not what the library calls in turn: Path.read_text(), not open().
                called = code.co_qualname
        frame = frame.f_back
    if place is None:
        return None
    if called.startswith(_ENVIRON):
        return SideEffect("reads os.environ", _ENVIRONMENT, place)
    if call.instead != _ENVIRONMENT or called in (call.called, "getenv"):
        return SideEffect(f"calls {called}()", call.instead, place)
    # A library that reads the environment for its own settings. The advice to read it in an activity would be odd.
    return SideEffect(f"calls {called}()", IO, place)


def _instead_of_c_function(function: Any, caller: FrameType) -> str | None:
    # Other callables, such as method descriptors, may have no __self__, and none of them is in the tables above.
    if not isinstance(function, BuiltinFunctionType):
        return None
    owner = function.__self__
    if isinstance(owner, type) and issubclass(owner, date) and function.__name__ in _NOW_METHODS:
        return _CLOCK
    # Only the module's own generator: one that user code has created was seeded, or its creation was reported.
    if owner is getattr(random, "_inst", None) or isinstance(owner, random.SystemRandom):
        return _RANDOM
    if isinstance(owner, socket.socket) and function.__name__ in _SOCKET_METHODS:
        return IO
    most_arguments = _NOW_WITHOUT_ARGUMENTS.get(function)
    if most_arguments is not None:
        # The profiler does not pass the arguments. The instruction that the caller executes has their number; if it is
        # another instruction (a call with *arguments), the call is assumed to convert a given time.
        code, at = caller.f_code.co_code, caller.f_lasti
        if dis.opname[code[at]] in _CALL_OPCODES and code[at + 1] <= most_arguments:
            return _CLOCK
    return _FUNCTIONS.get(function)
