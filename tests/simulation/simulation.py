"""One simulation: two or three hosts, a workload, faults, and the check of what is stored in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

from emulator.chaos.history_checker import check_hub
from emulator.chaos.plan import Intensities
from emulator.chaos.violations import report
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.storage.builtin import open_builtin
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock
from tests.durable.azurestorage.world import World, messages_left
from tests.simulation.choices import Choices, seeded_random_numbers
from tests.simulation.hosts import OPTIONS, HubOfAHost, SimulatedHost, Trace
from tests.simulation.programs import SimulatedApp
from tests.simulation.workload import SCENARIOS, Client, Stuck, entity_problems

START = datetime(2026, 1, 1, tzinfo=UTC)
# Time stops at least so often, so that renewals of locks and leases are not late because of virtual time.
_STEP_SECONDS = 4.0
_FAULTY_MINUTES = 3.0
# In some runs, hosts freeze at no storage call.
_FREEZE_PROBABILITIES = (0, 0.02, 0.06, 0.15)
# Longer than a function runs and than a storage call is delayed.
_IN_FLIGHT_SECONDS = 15


@dataclass(frozen=True)
class Outcome:
    """`digest`: equal for two runs with the same storage calls. `problems`: what is wrong, one a line."""

    seed: int
    digest: str
    problems: str
    faults: list[str]
    lines: list[str]
    calls: int
    until: datetime


def simulate(seed: int, *, scenarios: int = 6, through_hosts: bool = False, keep_trace: bool = False) -> Outcome:
    """Run the simulation of a seed with up to `scenarios` scenarios at once.

    `through_hosts`: clients send their requests to the hosts, as HTTP requests and client functions do.
    """
    clock = VirtualClock(START)
    runner = asyncio.Runner(loop_factory=partial(_new_loop, clock))
    with seeded_random_numbers(seed), runner, clock.running():
        return runner.run(_simulate(seed, scenarios, through_hosts, clock, Trace(clock, keep=keep_trace)))


def _new_loop(clock: VirtualClock) -> asyncio.AbstractEventLoop:
    loop = clock.new_loop()

    def run_at_once(_executor: object, function: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        # A thread would end at another moment in every run.
        done: asyncio.Future[Any] = loop.create_future()
        done.set_result(function(*arguments))
        return done

    loop.run_in_executor = run_at_once  # type: ignore[method-assign, assignment]
    return loop


async def _simulate(seed: int, scenarios: int, through_hosts: bool, clock: VirtualClock, trace: Trace) -> Outcome:
    choices = Choices(seed, "simulation")
    new_id = Choices(seed, "ids").new_id()
    async with open_builtin(None, clock, new_id=new_id) as account:
        client = Client(
            World(AzureStorageTaskHub(OPTIONS, account, clock=clock, new_id=new_id), clock),
            clock,
            Choices(seed, "client"),
            set(),
        )
        freeze_probability = choices.generator.choice(_FREEZE_PROBABILITIES)
        provider = replace(OPTIONS.storage_provider, use_instance_table_etag=choices.generator.choice([False, True]))
        options = replace(OPTIONS, storage_provider=provider)
        hosts = [
            SimulatedHost(
                f"host{number}",
                seed,
                account,
                clock,
                lambda clock: SimulatedApp(clock, Choices(seed, "app"), client.repaired),
                trace,
                intensities(choices),
                freeze_probability,
                options,
            )
            for number in range(choices.generator.choice([2, 2, 3]))
        ]
        await client.world.hub.create()
        if through_hosts:
            hub = HubOfAHost(client.world.hub, lambda: hosts, Choices(seed, "hosts of clients"))
            client.world.hub = cast(AzureStorageTaskHub, hub)
        running = [asyncio.create_task(host.run(), name=host.name) for host in hosts]
        steps = asyncio.create_task(_steps(clock))
        trouble = [
            asyncio.create_task(_trouble(host, clock, Choices(seed, f"trouble of {host.name}"))) for host in hosts
        ]
        names = choices.generator.choices(SCENARIOS, k=choices.generator.randint(min(2, scenarios), scenarios))
        try:
            problems = await _run_scenarios(client, names)
            for task in trouble:
                task.cancel()
            for host in hosts:
                host.plan.active = False
                host.freezes.end()
            # A frozen host may still send the result of an activity that another one has repeated.
            await asyncio.gather(*(host.host_clock.thawed() for host in hosts))
            await clock.sleep(_IN_FLIGHT_SECONDS)
            left = await _settled(account, clock)
            for host in hosts:
                host.end()
            await asyncio.gather(*running)
        finally:
            for task in (steps, *trouble, *running):
                task.cancel()
            await asyncio.gather(steps, *trouble, *running, return_exceptions=True)
        violations = await check_hub(account, OPTIONS.hub_name, clock, entity_problems=partial(entity_problems, client))
        problems += client.problems
        problems += [report(violations)] if violations else []
        problems += [f"Messages are left: {left}"] if left else []
        faults = [
            str(fault) for host in hosts for fault in (*host.happened, *host.plan.happened, *host.freezes.happened)
        ]
        return Outcome(seed, trace.digest, "\n".join(problems), faults, trace.lines, trace.calls, clock.now())


async def _run_scenarios(client: Client, scenarios: list[Any]) -> list[str]:
    ended = await asyncio.gather(
        *(scenario(client, f"{scenario.__name__}{number}") for number, scenario in enumerate(scenarios)),
        return_exceptions=True,
    )
    for outcome in ended:
        if isinstance(outcome, BaseException) and not isinstance(outcome, Stuck):
            raise outcome
    return [str(outcome) for outcome in ended if outcome is not None]


def intensities(choices: Choices) -> Intensities:
    """Choose how often each kind of fault happens: in most runs some of them not at all."""
    usual = Intensities()
    factors = {name: choices.generator.choice([0, 0.5, 1, 3]) for name in usual.__slots__}
    return replace(usual, **{name: min(getattr(usual, name) * factor, 0.3) for name, factor in factors.items()})


async def _trouble(host: SimulatedHost, clock: VirtualClock, choices: Choices) -> None:
    """Freeze and stop a host from time to time."""
    end = clock.now() + timedelta(minutes=_FAULTY_MINUTES)
    while clock.now() < end:
        await clock.sleep(5 + choices.seconds("trouble", 120))
        if choices.generator.random() < 0.5:
            host.host_clock.freeze(timedelta(seconds=choices.generator.uniform(5, 90)))
        else:
            host.restart()


async def _steps(clock: VirtualClock) -> None:
    while True:
        is_calm = clock.now() - START > timedelta(minutes=2 * _FAULTY_MINUTES)
        await clock.sleep(60 if is_calm else _STEP_SECONDS)


async def _settled(account: StorageAccount, clock: VirtualClock) -> dict[str, int]:
    """Wait until all messages have been deleted, those of cancelled work too, and return those that are left."""
    left: dict[str, int] = {}
    for _ in range(60):
        left = dict(await messages_left(account))
        if not left:
            break
        await clock.sleep(60)
    return left
