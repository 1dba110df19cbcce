"""Compare a benchmark of this checkout with that of another one: python -m benchmarks.compare OTHER NAME [ARGUMENT ...]

OTHER is the folder of the other checkout, with its own environment in .venv. Both run `python -m benchmarks.NAME
ARGUMENT ...` in turn, seven rounds each, so that a machine whose speed drifts slows both down. For each figure of the
printed Markdown tables the median of both and their ratio (this one / the other) are shown; over 1.05 counts as slower.
Figures that end in "per second" are inverted for the ratio.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROUNDS = 7
SLOWER = 1.05

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
Figures = defaultdict[tuple[str, str], list[float]]


def read_figures(output: str) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield row, column and first number of every table cell that begins with a number."""
    header: list[str] = []
    for line in output.splitlines():
        if not line.startswith("|"):
            header = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not header:
            header = cells
        elif not set(line) <= set("|-: "):
            label = " ".join(cell for cell in cells if not cell[:1].isdigit())
            for column, cell in zip(header, cells, strict=False):
                if number := _NUMBER.match(cell):
                    value = float(number[0].replace(",", ""))
                    yield (label, column), 1 / value if cell.endswith("per second") and value else value


def run(checkout: Path, arguments: list[str]) -> str:
    """Run the benchmark of a checkout with that checkout's environment, and return what it prints."""
    folder = "Scripts" if sys.platform == "win32" else "bin"
    # Both packages have the same name: a PYTHONPATH of the caller would give both rounds the same code. Users have
    # compiled files; without them a start would mostly measure how much code is compiled.
    unwanted = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    completed = subprocess.run(
        [str(checkout / ".venv" / folder / "python"), "-m", f"benchmarks.{arguments[0]}", *arguments[1:]],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return completed.stdout


def main(other: Path, arguments: list[str]) -> int:
    """Run the rounds and print a table. Return 1 if a figure is slower."""
    here = Path(__file__).parents[1]
    figures: dict[Path, Figures] = {here: defaultdict(list), other: defaultdict(list)}
    try:
        for number in range(ROUNDS):
            # The first one alternates: what ran before may leave the machine's caches warm.
            for checkout in (other, here) if number % 2 else (here, other):
                for key, value in read_figures(run(checkout, arguments)):
                    figures[checkout][key].append(value)
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("interrupted; the table has the rounds so far", file=sys.stderr)
    print("| row | column | other | this | ratio |\n|---|---|---|---|---|")
    is_slower = False
    for (row, column), values in figures[here].items():
        if before := figures[other].get((row, column)):
            old, new = statistics.median(before), statistics.median(values)
            ratio = new / old if old else 1.0
            is_slower |= ratio > SLOWER
            print(f"| {row} | {column} | {old:.4g} | {new:.4g} | {ratio:.2f} |")
    return int(is_slower)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
