"""Command `azemu report`: storage requests, executions and estimated cost of the running host."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from emulator import exit_codes
from emulator.cli.answers import TEXT_OR_NULL
from emulator.cli.finding_hosts import find_host
from emulator.cli.host_client import InvocationFailed
from emulator.cli.printing import Table, print_json
from emulator.cli.report_arguments import Report

_ESTIMATE: Final = {
    "storageRequests": int,
    "storagePrice": float,
    "executions": int,
    "gigabyteSeconds": float,
    "executionPrice": float,
    "price": float,
}
_REPORT: Final = {
    "app": str,
    "startedAt": str,
    "seconds": float,
    "storage": {
        "requests": int,
        "idlePolls": int,
        "purposes": [{"purpose": str, "service": str, "operation": str, "requests": int, "idlePolls": int}],
        "functions": [{"function": TEXT_OR_NULL, "requests": int}],
    },
    "executions": [{"function": str, "runs": int, "failed": int, "seconds": float, "gigabyteSeconds": float}],
    "prices": {"date": str, "region": str, "currency": str},
    "run": _ESTIMATE,
    "perThousandOrchestrations": (_ESTIMATE, None),
    "orchestrations": int,
    "idleMonth": {
        "requests": int,
        "price": float,
        "parts": [{"what": str, "everySeconds": float, "requests": int, "price": float}],
    },
    "assumptions": [str],
}


def run_report(command: Report) -> int:
    """Run the command and return its exit code. Raises HostNotRunning, InvocationFailed."""
    host = find_host(command.app, port=command.port, key=command.key, needs_app=False)
    query = "" if command.memory is None else f"?memory={command.memory}"
    response = host.get(f"{host.dashboard_path('report')}api/report{query}")
    if response.status >= 300:
        raise InvocationFailed(response.refusal())
    report = response.content(_REPORT)
    if command.json:
        print_json(report)
    else:
        _print(report)
    return exit_codes.OK


def _print(report: Mapping[str, Any]) -> None:
    storage, prices = report["storage"], report["prices"]
    currency, write = prices["currency"], sys.stdout.write
    write(
        f"{report['app']}: {timedelta(seconds=round(report['seconds']))} since the host was started at "
        f"{report['startedAt']}\n\nStorage requests: {storage['requests']:,}, of them {storage['idlePolls']:,} polls "
        "without a message\n\n"
    )
    Table("PURPOSE", "SERVICE", "OPERATION", "REQUESTS", "WITHOUT MESSAGE").print(
        [
            (row["purpose"], row["service"], row["operation"], f"{row['requests']:,}", f"{row['idlePolls']:,}")
            for row in storage["purposes"]
        ]
    )
    write("\n")
    Table("CAUSED BY", "REQUESTS").print(
        [(row["function"] or "(the host)", f"{row['requests']:,}") for row in storage["functions"]]
    )
    write("\n")
    Table("FUNCTION", "EXECUTIONS", "FAILED", "SECONDS", "GB-S").print(
        [
            (
                run["function"],
                f"{run['runs']:,}",
                f"{run['failed']:,}",
                f"{run['seconds']:g}",
                f"{run['gigabyteSeconds']:g}",
            )
            for run in report["executions"]
        ]
    )
    write(f"\nEstimate for Azure ({currency}, {prices['region']}, prices of {prices['date']})\n\n")
    rows = [("this run", report["run"])]
    if report["perThousandOrchestrations"] is not None:
        rows.append((f"1,000 orchestrations (from {report['orchestrations']:,})", report["perThousandOrchestrations"]))
    Table("", "STORAGE REQUESTS", "STORAGE", "EXECUTIONS", "GB-S", "COMPUTE", "TOTAL").print(
        [
            (
                what,
                f"{part['storageRequests']:,}",
                f"{part['storagePrice']:.4f}",
                f"{part['executions']:,}",
                f"{part['gigabyteSeconds']:g}",
                f"{part['executionPrice']:.4f}",
                f"{part['price']:.4f}",
            )
            for what, part in rows
        ]
    )
    idle = report["idleMonth"]
    write(f"\nA month in which one instance has nothing to do: {idle['requests']:,} requests, {idle['price']:.2f} ")
    write(f"{currency}\n\n")
    Table("WHAT", "EVERY", "REQUESTS", "PRICE").print(
        [
            (part["what"], f"{part['everySeconds']:g} s", f"{part['requests']:,}", f"{part['price']:.4f}")
            for part in idle["parts"]
        ]
    )
    write("\nAssumptions\n" + "".join(f"* {text}\n" for text in report["assumptions"]))
