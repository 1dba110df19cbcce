"""Functions that orchestrators must not call, by their full names, and what to do instead.

At run time, tests find the same and more: `emulator.testing.observers.side_effects`.
"""

from __future__ import annotations

import ast
from typing import Final

CLOCK: Final = "Use context.current_utc_datetime."
RANDOM: Final = "Do it in an activity, or use random.Random(context.instance_id)."
UUID: Final = "Use context.new_uuid()."
ENVIRONMENT: Final = "Read it in an activity, or pass it as input."
IO: Final = "Do it in an activity."
SLEEP: Final = "Write: yield context.create_timer(context.current_utc_datetime + timedelta(…))."
THREADS: Final = "Start several activities and yield context.task_all(…) instead."

# Code, advice, module, and names in it. The names of builtins have no module.
_ROWS: Final = (
    ("AZ201", CLOCK, "time", "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time"),
    ("AZ201", CLOCK, "datetime.datetime", "now utcnow today"),
    ("AZ201", CLOCK, "datetime.date", "today"),
    # Libraries for dates that apps often use.
    ("AZ201", CLOCK, "pandas.Timestamp", "now utcnow today"),
    ("AZ201", CLOCK, "pendulum", "now today"),
    ("AZ201", CLOCK, "arrow", "now utcnow"),
    ("AZ202", RANDOM, "random", "random randint randrange choice choices sample shuffle uniform gauss getrandbits"),
    ("AZ202", RANDOM, "random", "SystemRandom"),
    ("AZ202", RANDOM, "secrets", "token_hex token_urlsafe token_bytes choice randbelow randbits"),
    ("AZ202", RANDOM, "os", "urandom"),
    # uuid3 and uuid5 are computed from their arguments.
    ("AZ203", UUID, "uuid", "uuid1 uuid4"),
    ("AZ204", ENVIRONMENT, "os", "getenv getcwd"),
    ("AZ204", ENVIRONMENT, "os.environ", "get"),
    ("AZ204", ENVIRONMENT, "socket", "gethostname"),
    ("AZ204", ENVIRONMENT, "platform", "node"),
    ("AZ205", IO, "requests", "get post put patch delete head options request Session"),
    ("AZ205", IO, "httpx", "get post put patch delete head options request Client AsyncClient"),
    ("AZ205", IO, "aiohttp", "ClientSession"),
    ("AZ205", IO, "urllib3", "request PoolManager"),
    ("AZ205", IO, "urllib.request", "urlopen urlretrieve"),
    ("AZ205", IO, "", "open input"),
    ("AZ205", IO, "io", "open"),
    # Not os.path.join and the like, which only compute texts.
    ("AZ205", IO, "os", "listdir scandir remove mkdir makedirs system popen stat"),
    ("AZ205", IO, "os.path", "exists isfile isdir"),
    ("AZ205", IO, "shutil", "rmtree copy copyfile copytree move"),
    ("AZ205", IO, "subprocess", "run call check_call check_output Popen"),
    ("AZ205", IO, "socket", "socket create_connection"),
    ("AZ205", IO, "smtplib", "SMTP SMTP_SSL"),
    ("AZ205", IO, "sqlite3", "connect"),
    ("AZ205", IO, "psycopg2", "connect"),
    ("AZ205", IO, "pyodbc", "connect"),
    ("AZ205", IO, "pymongo", "MongoClient"),
    ("AZ205", IO, "redis", "Redis"),
    ("AZ205", IO, "boto3", "client resource"),
    ("AZ206", SLEEP, "time", "sleep"),
    ("AZ206", SLEEP, "asyncio", "sleep"),
    ("AZ207", THREADS, "threading", "Thread Timer"),
    ("AZ207", THREADS, "multiprocessing", "Process Pool"),
    ("AZ207", THREADS, "concurrent.futures", "ThreadPoolExecutor ProcessPoolExecutor"),
    ("AZ207", THREADS, "asyncio", "run gather create_task get_event_loop"),
)
_FORBIDDEN: Final = {
    f"{module}.{name}".lstrip("."): (code, advice) for code, advice, module, names in _ROWS for name in names.split()
}
# These use the current time, or a random seed, only without arguments.
_ONLY_WITHOUT_ARGUMENTS: Final = {
    **dict.fromkeys(("time.localtime", "time.gmtime", "time.ctime"), ("AZ201", CLOCK)),
    "random.Random": ("AZ202", RANDOM),
}
# Packages of Azure services. Their clients send requests; their other classes only hold data.
_SERVICE_PACKAGES: Final = ("azure.storage.", "azure.data.", "azure.cosmos.", "azure.servicebus.", "azure.keyvault.")


def forbidden_call(name: str, node: ast.Call) -> tuple[str, str] | None:
    """Return code and advice if an orchestrator must not make a call. `name`: the full name of the function."""
    if name in _ONLY_WITHOUT_ARGUMENTS and not node.args:
        return _ONLY_WITHOUT_ARGUMENTS[name]
    last = name.rpartition(".")[2]
    if name.startswith(_SERVICE_PACKAGES) and (last.endswith("Client") or last == "from_connection_string"):
        return "AZ205", IO
    return _FORBIDDEN.get(name)
