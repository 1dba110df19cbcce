"""Count comment lines and private functions with one use, per package: python -m benchmarks.code_metrics [PATH ...].

A private function counts as used once if its name occurs exactly twice in its module: in its definition and in one
other place. A comment line is a line that holds a comment token. The limits at the end are those that CONTRIBUTING.md
asks for; the exit code is 1 if one of them is missed.
"""

from __future__ import annotations

import ast
import sys
import tokenize
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

MIN_COMMENT_SHARE = 0.05
MAX_SINGLE_USE_SHARE = 0.13


@dataclass(slots=True)
class Totals:
    """Sums over modules."""

    lines: int = 0
    comment_lines: int = 0
    functions: int = 0
    single_use: int = 0

    @property
    def comment_share(self) -> float:
        """Comment lines as a share of all lines."""
        return self.comment_lines / max(self.lines, 1)

    @property
    def single_use_share(self) -> float:
        """Private functions with one use as a share of all functions."""
        return self.single_use / max(self.functions, 1)

    def add(self, other: Totals) -> None:
        """Add the sums of another module or package."""
        self.lines += other.lines
        self.comment_lines += other.comment_lines
        self.functions += other.functions
        self.single_use += other.single_use


def single_use_functions(path: Path) -> tuple[int, list[str]]:
    """Return how many functions a module has, and the names of its private functions with one use."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    with tokenize.open(path) as file:
        names = Counter(
            token.string for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.NAME
        )
    private = [name for name in functions if name.startswith("_") and not name.startswith("__")]
    return len(functions), [name for name in private if names[name] == 2]


def measure(path: Path) -> Totals:
    """Measure one module."""
    functions, single_use = single_use_functions(path)
    with tokenize.open(path) as file:
        comments = {
            token.start[0] for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.COMMENT
        }
    lines = len(path.read_text(encoding="utf-8").splitlines())
    return Totals(lines, len(comments), functions, len(single_use))


def main(roots: list[Path], *, verbose: bool) -> int:
    """Print a line per package and the total. Return 1 if a limit is missed."""
    packages: defaultdict[Path, Totals] = defaultdict(Totals)
    total = Totals()
    paths = [path for root in roots for path in (sorted(root.rglob("*.py")) if root.is_dir() else [root])]
    for path in paths:
        measured = measure(path)
        packages[path.parent].add(measured)
        total.add(measured)
        if verbose:
            for name in single_use_functions(path)[1]:
                print(f"{path}: {name} has one use")
    width = max(len(str(package)) for package in packages)
    for package, sums in [*sorted(packages.items()), (Path("total"), total)]:
        print(
            f"{package!s:{width}}  {sums.lines:6} lines  {sums.comment_share:6.1%} comments  "
            f"{sums.functions:5} functions  {sums.single_use_share:6.1%} private with one use"
        )
    return int(total.comment_share < MIN_COMMENT_SHARE or total.single_use_share > MAX_SINGLE_USE_SHARE)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    roots = [Path(argument) for argument in arguments if argument != "-v"] or [Path("emulator")]
    sys.exit(main(roots, verbose="-v" in arguments))
