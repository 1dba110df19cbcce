"""Every case of http-conformance.yaml, by its own runner, against our host with the app made for the cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conformance import CONFORMANCE_APP, client_binding, http_conformance
from tests.running_apps import OPTION, PROFILE, RunningApp, copy_app, run_app
from tests.sdk_releases import DURABLE, needs

MOST_AGAIN = 25

# How a host is set up to meet a condition of the cases.
CONDITIONS: Mapping[str, Mapping[str, str]] = {
    "authentication": {},
    "app-lease-off": {f"{OPTION}useAppLease": "false"},
    "any-state": {f"{OPTION}overridableExistingInstanceStates": "AnyState"},
    "forwarded-host": {f"{OPTION}httpSettings__useForwardedHost": "true", "AZEMU_ALLOWED_HOSTS": "example.com"},
    "stored-inputs": {f"{OPTION}storeInputsInOrchestrationHistory": "true"},
    "default-version": {f"{OPTION}defaultVersion": "2.0"},
    "strict-version": {
        f"{OPTION}defaultVersion": "2.0",
        f"{OPTION}versionMatchStrategy": "Strict",
        f"{OPTION}versionFailureStrategy": "Fail",
    },
    "rpc-off": {f"{OPTION}localRpcEndpointEnabled": "false"},
}


# Some cases use all methods of the SDK's client, and the texts of its errors.
LATEST = needs(DURABLE, "1.7.0")


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(http_conformance.CASES.read_text(encoding="utf-8"), yaml.CSafeLoader)
    return found


async def outcomes(app: RunningApp, report: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run the cases that `arguments` choose; an outcome for each case and base.

    Some cases give an orchestration two seconds to end, which forty of them at once may exceed on a busy machine, and
    one starts the same id over both bases: what failed in the crowd runs again alone, one base after the other, and
    that outcome counts.
    """
    binding = await client_binding(app)
    code = str(binding["requiredQueryStringParameters"]).removeprefix("code=")
    common = ["--origin", app.url, "--app", f"{app.url}/api", f"--code={code}", "--json", str(report), *arguments]

    async def run(*more: str) -> list[dict[str, Any]]:
        await http_conformance.main(http_conformance.parse([*common, *more]))
        found: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))
        return found

    found = await run("--parallel", "40")
    failed = {(outcome["case"], outcome["base"]) for outcome in found if outcome["verdict"] == "failed"}
    if len(failed) > MOST_AGAIN:
        return found
    again: list[dict[str, Any]] = []
    for base in sorted({base for _, base in failed}):
        only = "|".join(case for case, failed_base in failed if failed_base == base)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(http_conformance, "bases", only_base(base))
            again += await run("--parallel", "1", "--only", f"^({only})$")
    return [outcome for outcome in found if (outcome["case"], outcome["base"]) not in failed] + again


def only_base(base: str) -> Callable[..., list[str]]:
    """In place of the runner's choice of bases."""
    choose = http_conformance.bases
    return lambda case, *, both: [base] if base in choose(case, both=both) else []


def failures(found: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{outcome['case']} ({outcome['base']}): {problem}"
        for outcome in found
        if outcome["verdict"] == "failed"
        for problem in outcome["problems"]
    ]


def cases_requiring(condition: str) -> list[str]:
    return [case["id"] for case in document()["cases"] if case.get("requires") == condition]


@LATEST
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("profile", "bases"),
    # Up to half a minute each, so only what users have by default runs every time. Profiles and bases are independent:
    # both listeners have the same handler.
    [
        ("default", []),
        pytest.param("default", ["--both-bases"], marks=pytest.mark.soak),
        pytest.param("e26", ["--both-bases"], marks=pytest.mark.soak),
    ],
)
async def test_all_cases_hold(tmp_path: Path, profile: str, bases: list[str]) -> None:
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app"), settings={PROFILE: profile}) as app:
        found = await outcomes(app, tmp_path / "report.json", "--profile", profile, *bases)
    assert failures(found) == []
    passed = {outcome["case"] for outcome in found if outcome["verdict"] == "passed"}
    left_out = {case["id"] for case in document()["cases"]} - passed
    needs_another_host = {case for condition in CONDITIONS for case in cases_requiring(condition)}
    assert left_out == needs_another_host


@LATEST
@pytest.mark.azurite
@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_all_cases_hold_on_azurite(tmp_path: Path, azurite: str) -> None:
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app"), storage=azurite) as app:
        found = await outcomes(app, tmp_path / "report.json")
    assert failures(found) == []
    assert len(found) == len(document()["cases"])


@LATEST
@pytest.mark.timeout(120)
@pytest.mark.parametrize("condition", CONDITIONS)
async def test_the_cases_of_a_condition_hold_in_a_host_that_meets_it(tmp_path: Path, condition: str) -> None:
    cases = cases_requiring(condition)
    only = f"^({'|'.join(cases)})$"
    has_authentication = condition == "authentication"
    async with run_app(
        copy_app(CONFORMANCE_APP, tmp_path / "app"), settings=CONDITIONS[condition], enable_auth=has_authentication
    ) as app:
        found = await outcomes(app, tmp_path / "report.json", "--both-bases", "--with", condition, "--only", only)
    assert failures(found) == []
    assert {outcome["case"] for outcome in found if outcome["verdict"] == "passed"} == set(cases)


def test_every_condition_of_the_cases_is_met_by_some_host() -> None:
    assert set(CONDITIONS) == set(document()["conditions"])
