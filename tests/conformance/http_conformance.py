"""Run the cases of http-conformance.yaml against a Functions host.

    python http_conformance.py --origin http://localhost:7071 --app http://localhost:7071/api \\
        --hub TestHubName --code KEY

The host must run the app in conformance_app/. Needs aiohttp and PyYAML; for a host that does not make a task hub at its
first use, also --storage-connection and azure-data-tables, azure-storage-queue and azure-storage-blob. Cases whose
`requires` is not declared by --with are skipped. Exit code 1 means failures.

From the outside in: `main` picks the cases and orders them, `Scenario` runs one of them (variables, setup steps,
request, after steps), `problems` compares an answer with an `expect`, `matches` compares two JSON values.
"""

import argparse
import asyncio
import datetime
import json
import pathlib
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import yaml
from yarl import URL

CASES = pathlib.Path(__file__).with_name("http-conformance.yaml")
VARIABLE = re.compile(r"\{(id|webhook|rpc|app|origin|hub|conn|code|t0|t1|port|captured\.\w+)\}")
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 30.0
MISSING = object()

Json = Any  # what json.loads returns, or MISSING
Table = Mapping[str, Any]  # a mapping of the cases file


class Skipped(Exception):
    """This host, as it is set up, cannot show what the case is about."""


class Failed(Exception):
    """The case does not hold; the arguments are the problems."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names are case-insensitive
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Json:
        try:
            return json.loads(self.body)
        except ValueError:
            return MISSING


@dataclass(frozen=True)
class Host:
    """Where the host under test is and how it is set up."""

    origin: str
    app: str
    rpc: str
    hub: str
    code: str
    connection_name: str
    storage_connection: str | None
    conditions: frozenset[str]

    def variables(self) -> dict[str, str]:
        return {
            "origin": self.origin,
            "port": str(urlsplit(self.origin).port or 80),
            "webhook": self.origin + "/runtime/webhooks/durabletask",
            "rpc": self.rpc,
            "app": self.app,
            "hub": self.hub,
            "code": self.code,
            "conn": self.connection_name,
        }

    def meets(self, condition: str) -> bool:
        if condition.startswith("no-"):
            return condition.removeprefix("no-") not in self.conditions
        return condition in self.conditions


@dataclass
class Outcome:
    case: str
    base: str
    verdict: str = "passed"  # passed, failed or skipped
    problems: list[str] = field(default_factory=list)
    request: str = ""
    answer: dict[str, Json] | None = None


# ---- comparing


def type_name(value: Json) -> str:
    if isinstance(value, bool):  # before the numbers: bool is an int in Python, not in JSON
        return "bool"
    names = {str: "string", int: "number", float: "number", dict: "object", list: "array", type(None): "null"}
    return names.get(type(value), "missing")


def has_length(test: Callable[[int], bool], actual: Json) -> bool:
    return isinstance(actual, str | list | dict) and test(len(actual))


MATCHERS: dict[str, Callable[[Any, Json], bool]] = {
    "$re": lambda pattern, actual: isinstance(actual, str) and re.search(pattern, actual) is not None,
    "$type": lambda name, actual: type_name(actual) == name,
    "$any": lambda _, actual: actual is not MISSING,
    "$one_of": lambda options, actual: any(matches(option, actual) for option in options),
    "$contains": lambda text, actual: isinstance(actual, str) and text in actual,
    "$starts": lambda text, actual: isinstance(actual, str) and actual.startswith(text),
    "$len": lambda length, actual: has_length(lambda found: found == length, actual),
    "$min_len": lambda length, actual: has_length(lambda found: found >= length, actual),
    "$subset": lambda part, actual: (
        isinstance(actual, dict) and all(matches(part[key], actual.get(key, MISSING)) for key in part)
    ),
    "$has_item": lambda item, actual: isinstance(actual, list) and any(matches(item, each) for each in actual),
    "$no_item": lambda item, actual: isinstance(actual, list) and not any(matches(item, each) for each in actual),
    "$not": lambda value, actual: not matches(value, actual),
}


def matches(expected: Any, actual: Json) -> bool:
    """Deep equality, where `expected` may hold matchers at any depth."""
    if isinstance(expected, dict) and expected and expected.keys() <= MATCHERS.keys():
        return all(MATCHERS[name](operand, actual) for name, operand in expected.items())
    if type_name(expected) != type_name(actual):
        return False
    if isinstance(expected, dict):
        return expected.keys() == actual.keys() and all(matches(expected[key], actual[key]) for key in expected)
    if isinstance(expected, list):
        return len(expected) == len(actual) and all(map(matches, expected, actual))
    return bool(expected == actual)


def dig(value: Json, path: str) -> Json:
    """The value at a dot path, or MISSING."""
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part, MISSING)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return MISSING
    return value


def shown(value: Json) -> str:
    text = "nothing" if value is MISSING else json.dumps(value, ensure_ascii=False)
    return text if len(text) < 700 else text[:700] + "..."


def problems(expect: Table, answer: Answer) -> Iterator[str]:
    """What in the answer differs from the `expect` of a case."""
    yield from difference("status", expect.get("status", {"$any": True}), answer.status)
    for name, expected in expect.get("headers", {}).items():
        actual = answer.headers.get(name, MISSING)
        if expected is not None:
            yield from difference(f"header {name}", expected, actual)
        elif actual is not MISSING:
            yield f"header {name}: expected no such header, got {shown(actual)}"
    body = expect.get("body", {})
    if body.get("empty") and answer.body:
        yield f"body: expected none, got {shown(answer.text)}"
    if "text" in body:
        yield from difference("body", body["text"], answer.text)
    if body.keys() & {"json", "keys", "fields", "absent"}:
        yield from json_problems(body, answer)


def json_problems(body: Table, answer: Answer) -> Iterator[str]:
    parsed = answer.json()
    if parsed is MISSING:
        yield f"body: expected JSON, got {shown(answer.text)}"
        return
    if "json" in body:
        yield from difference("body", body["json"], parsed)
    if "keys" in body:
        yield from difference("keys", body["keys"], list(parsed) if isinstance(parsed, dict) else MISSING)
    for path, expected in body.get("fields", {}).items():
        yield from difference(path, expected, dig(parsed, path))
    for path in body.get("absent", []):
        if dig(parsed, path) is not MISSING:
            yield f"{path}: expected no such key, got {shown(dig(parsed, path))}"


def difference(what: str, expected: Any, actual: Json) -> Iterator[str]:
    if not matches(expected, actual):
        yield f"{what}: expected {shown(expected)}, got {shown(actual)}"


def for_profile(value: Any, profile: str) -> Any:
    """`value` with every by_profile replaced by its choice; where there is none, its key vanishes."""
    if isinstance(value, list):
        return [for_profile(item, profile) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"by_profile"}:
        choices = value["by_profile"]
        return for_profile(choices.get(profile, choices.get("default", MISSING)), profile)
    chosen = {key: for_profile(item, profile) for key, item in value.items()}
    return {key: item for key, item in chosen.items() if item is not MISSING}


# ---- one case


class Scenario:
    """One case on one base: its variables, its steps, its request."""

    def __init__(
        self, case: Table, base: str, *, states: Table, profile: str, host: Host, session: aiohttp.ClientSession
    ) -> None:
        self.case, self.base = case, base
        self.states, self.profile, self.host, self.session = states, profile, host, session
        self.extra_query: dict[str, str] = {}
        self.variables = host.variables()
        self.variables["id"] = case.get("instance_id") or f"{case['id']}-{secrets.token_hex(3)}"
        self.outcome = Outcome(case["id"], base)

    async def run(self) -> Outcome:
        try:
            self.check_conditions()
            self.variables["t0"] = utc_text(0)
            await self.steps(self.case.get("setup", []))
            self.variables["t1"] = utc_text(2)
            await self.exchange(self.case, keep=True)
            await self.steps(self.case.get("after", []))
            await self.steps(self.case.get("after_by_profile", {}).get(self.profile, []))
        except Skipped as reason:
            self.outcome.verdict, self.outcome.problems = "skipped", [str(reason)]
        except (Failed, aiohttp.ClientError, TimeoutError) as error:
            self.outcome.verdict, self.outcome.problems = "failed", [str(each) for each in error.args or [repr(error)]]
        return self.outcome

    def check_conditions(self) -> None:
        if "requires" in self.case and not self.host.meets(self.case["requires"]):
            raise Skipped(f"requires {self.case['requires']}")

    def fill(self, value: Any) -> Any:
        """`value` with the variables of this case in place of their names."""
        if isinstance(value, str):
            return VARIABLE.sub(lambda found: self.variables[found[1]], value)
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        return [self.fill(item) for item in value] if isinstance(value, list) else value

    async def exchange(self, case: Table, *, keep: bool = False) -> None:
        """Send a request and hold its answer against the `expect` beside it; `keep` them for the report."""
        request = self.fill(case["request"])
        answer = await self.send(request, keep=keep)
        found = list(problems(self.fill(for_profile(case["expect"], self.profile)), answer))
        if found:
            raise Failed(*(found if keep else [f"step {shown(request)}: {each}" for each in found]))
        for name, source in case.get("capture", {}).items():
            header = source.removeprefix("header:")
            value = answer.headers.get(header) if header != source else dig(answer.json(), source)
            self.variables["captured." + name] = str(value)

    async def send(self, request: Table, *, keep: bool = False) -> Answer:
        url, headers, data = self.url(request), dict(request.get("headers", {})), None
        if "json" in request:
            data, headers["Content-Type"] = json.dumps(request["json"]).encode(), "application/json"
        elif "body" in request:
            data = request["body"].encode()
            if request["content_type"]:
                headers["Content-Type"] = request["content_type"]
        if "authentication" in self.host.conditions and self.case["group"] != "auth":
            headers["x-functions-key"] = self.host.code
        async with self.session.request(
            request["method"],
            URL(url, encoded=True),
            data=data,
            headers=headers,
            skip_auto_headers=["Content-Type"],
            allow_redirects=False,
        ) as response:
            answer = Answer(response.status, response.headers, await response.read())
        if keep:
            self.outcome.request = f"{request['method']} {url}" + (f" {data.decode()}" if data else "")
            self.outcome.answer = {"status": answer.status, "headers": dict(answer.headers), "body": answer.text}
        return answer

    def url(self, request: Table) -> str:
        if "url" in request:
            url: str = request["url"]
            for literal, text in request.get("replace", {}).items():
                url = url.replace(literal, text)
            return url
        query = urlencode({**request.get("query", {}), **self.extra_query}, quote_via=quote)
        parts = [part for part in (query, request.get("raw_query", "")) if part]
        url = f"{self.variables[request.get('base', self.base)]}/{request['path']}"
        return url + "?" + "&".join(parts) if parts else url

    # The steps, each named like its key in the file.

    async def steps(self, steps: Sequence[Table]) -> None:
        for step in steps:
            [name] = step.keys() - {"expect", "capture"}
            await getattr(self, "step_" + name)(step if name == "request" else self.fill(step[name]))

    async def step_request(self, step: Table) -> None:
        await self.exchange(step)

    async def step_state(self, name: str) -> None:
        state = self.states[name]
        self.extra_query.update(state.get("extra_query", {}))
        await self.steps(state["steps"])

    async def step_start(self, start: Table) -> None:
        instance_id = start.get("id", self.variables["id"])
        path = f"orchestrators/{start['fn']}/{instance_id}"
        request: dict[str, Any] = {"base": "webhook", "method": "POST", "path": path}
        if start.get("via") == "sdk":
            request |= {"base": "app", "path": f"start/{start['fn']}", "query": {"id": instance_id}}
        if "json" in start:
            request["json"] = start["json"]
        await self.demand(request, statuses=[202])

    async def step_post(self, post: Table) -> None:
        await self.demand({"base": "webhook", "method": "POST", **post}, statuses=range(200, 300))

    async def step_delete(self, delete: Table) -> None:
        await self.send({"base": "webhook", "method": "DELETE", **delete})

    async def demand(self, request: Table, *, statuses: Sequence[int]) -> None:
        answer = await self.send(request)
        if answer.status not in statuses:
            raise Failed(f"step {request['method']} {request['path']} answered {answer.status} {shown(answer.text)}")

    async def step_await_status(self, wanted: Table) -> None:
        others = {key: wanted[key] for key in ("customStatus", "output") if key in wanted}
        expected = {"$subset": {"runtimeStatus": wanted["is"], **others}}
        await self.poll(f"instances/{wanted.get('id', self.variables['id'])}", expected, wanted)

    async def step_await_entity(self, wanted: Table) -> None:
        await self.poll(f"entities/counter/{wanted['key']}", wanted["equals"], wanted)

    async def poll(self, path: str, expected: Any, wanted: Table) -> None:
        end = time.monotonic() + wanted.get("timeout", PATIENCE_SECONDS)
        while True:
            answer = await self.send({"base": "webhook", "method": "GET", "path": path})
            if matches(expected, answer.json()):
                return
            if time.monotonic() > end:
                raise Failed(f"waited for {path} to be {shown(expected)}; it is {answer.status} {shown(answer.text)}")
            await asyncio.sleep(POLL_SECONDS)

    async def step_sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def step_create_hub(self, hub: str) -> None:
        if self.host.storage_connection:  # otherwise it is up to the host to make the hub when a request names it
            await asyncio.to_thread(create_hub, self.host.storage_connection, hub)


def utc_text(seconds_from_now: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds_from_now)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def create_hub(connection: str, hub: str) -> None:
    """What a client of a task hub needs to find: its tables, queues and containers, with nobody working on them."""
    from azure.core.exceptions import ResourceExistsError
    from azure.data.tables import TableServiceClient
    from azure.storage.blob import BlobServiceClient
    from azure.storage.queue import QueueServiceClient

    tables = TableServiceClient.from_connection_string(connection)
    queues = QueueServiceClient.from_connection_string(connection)
    blobs = BlobServiceClient.from_connection_string(connection)
    creations: list[tuple[Callable[[str], object], str]] = [
        *((tables.create_table, hub + name) for name in ("Instances", "History", "Partitions")),
        *((queues.create_queue, f"{hub.lower()}-control-{number:02}") for number in range(4)),
        (queues.create_queue, f"{hub.lower()}-workitems"),
        *((blobs.create_container, f"{hub.lower()}-{name}") for name in ("leases", "applease", "largemessages")),
    ]
    for create, name in creations:
        try:
            create(name)
        except ResourceExistsError:
            continue


# ---- all cases


async def main(options: argparse.Namespace) -> int:
    # The loader in C, where PyYAML has it: the one in Python takes seconds for this file.
    document = yaml.load(CASES.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if unknown := set(options.conditions) - document["conditions"].keys():
        sys.exit(f"No such condition: {', '.join(unknown)}. There are: {', '.join(document['conditions'])}")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        host = await find_host(options, session)
        scenarios = [
            Scenario(case, base, states=document["states"], profile=options.profile, host=host, session=session)
            for case in document["cases"]
            if re.search(options.only, case["id"])
            for base in bases(case, both=options.both_bases)
        ]
        outcomes = await run_all(scenarios, options.parallel)
    if options.json:
        options.json.write_text(json.dumps([vars(each) for each in outcomes], indent=1), encoding="utf-8")
    verdicts = [outcome.verdict for outcome in outcomes]
    print(", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("passed", "failed", "skipped")))
    return 1 if "failed" in verdicts else 0


async def find_host(options: argparse.Namespace, session: aiohttp.ClientSession) -> Host:
    rpc = options.rpc
    if rpc is None:
        try:
            async with session.get(options.app + "/binding") as response:
                rpc = json.loads(await response.text())["rpcBaseUrl"] or ""
        except (aiohttp.ClientError, ValueError) as error:
            sys.exit(f"The sample app does not answer at {options.app}/binding: {error}")
    return Host(
        options.origin,
        options.app,
        rpc.rstrip("/"),
        options.hub,
        options.code,
        options.connection_name,
        options.storage_connection,
        frozenset(options.conditions),
    )


def bases(case: Table, *, both: bool) -> list[str]:
    """The bases that the case's requests go to, unless they name another one."""
    repeatable = "base" not in case["request"] and not case.get("webhook_only")
    return ["webhook", "rpc"] if both and repeatable else ["webhook"]


async def run_all(scenarios: Sequence[Scenario], parallel: int) -> list[Outcome]:
    """First the cases that keep to their own instances, side by side; then the others, one by one, the worst last."""
    slots = asyncio.Semaphore(parallel)

    async def one(scenario: Scenario) -> Outcome:
        async with slots:
            return report(await scenario.run())

    def rank(scenario: Scenario) -> int:
        return 2 if scenario.case.get("destructive") else 1 if scenario.case.get("exclusive") else 0

    outcomes = await asyncio.gather(*(one(each) for each in scenarios if rank(each) == 0))
    return [*outcomes, *[await one(each) for each in sorted(scenarios, key=rank) if rank(each) > 0]]


def report(outcome: Outcome) -> Outcome:
    if outcome.verdict == "failed":
        lines = [f"FAILED {outcome.case} ({outcome.base})", outcome.request or "(in its setup)", *outcome.problems]
        print(*lines, sep="\n    ", flush=True)
    return outcome


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the cases of http-conformance.yaml against a Functions host.")
    add = parser.add_argument
    add("--origin", default="http://localhost:7071")
    add("--app", default="http://localhost:7071/api", help="base URL of the sample app's HTTP functions")
    add("--hub", default="TestHubName")
    add("--code", default="", help="system key durabletask_extension")
    add("--connection-name", default="Storage", help="connection name that management URLs show")
    add("--profile", default="default", choices=["default", "e26"])
    add("--rpc", metavar="URL", help="RPC base URL; asked from {app}/binding when absent")
    add("--only", default="", metavar="REGEX", help="run the cases whose id matches")
    add("--both-bases", action="store_true", help="repeat webhook cases over the RPC base")
    add("--storage-connection", metavar="STRING", help="to make hubs without a worker beforehand")
    add("--with", dest="conditions", action="append", default=[], metavar="CONDITION", help="how the host is set up")
    add("--parallel", type=int, default=8, metavar="N", help="cases side by side")
    add("--json", type=pathlib.Path, metavar="FILE", help="write every outcome with its answer")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse(sys.argv[1:]))))
