"""Run simulations: `python -m tests.simulation SEED [COUNT] [--through-hosts] [--trace]`."""

from __future__ import annotations

import argparse
import logging
import time

from tests.simulation.simulation import simulate


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seed", type=int)
    parser.add_argument("count", type=int, nargs="?", default=1)
    parser.add_argument("--scenarios", type=int, default=6, help="how many run at once, at most")
    parser.add_argument("--through-hosts", action="store_true", help="clients send their requests to the hosts")
    parser.add_argument("--trace", action="store_true", help="print every storage call")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.INFO if options.trace else logging.CRITICAL)
    failed = 0
    began = time.process_time()
    for seed in range(options.seed, options.seed + options.count):
        outcome = simulate(
            seed, scenarios=options.scenarios, through_hosts=options.through_hosts, keep_trace=options.trace
        )
        if options.trace:
            print("\n".join(line[:400] for line in outcome.lines))
        if options.count == 1:
            print("\n".join(outcome.faults))
            print(f"Seed {seed}: {outcome.calls} storage calls until {outcome.until}, digest {outcome.digest}")
        if outcome.problems:
            failed += 1
            print(f"Seed {seed} fails:\n{outcome.problems}", flush=True)
    print(f"{options.count} seeds, {failed} failed, {time.process_time() - began:.1f} s of processor time")


if __name__ == "__main__":
    main()
