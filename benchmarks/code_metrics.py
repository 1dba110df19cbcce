"""Count comment lines and private functions with one use: python -m benchmarks.code_metrics [--all] [-v] [PATH ...].

A private function counts as used once if its name occurs in one place of its module beside its definition. A comment
line is a line that holds a comment token. `--all` prints a line per package, `-v` the private functions with one use.
Without a path, all of `emulator` is counted. If it misses a limit (those of CONTRIBUTING.md), the exit code is 1 and
the packages that miss it are printed.
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
# Code that is written into apps of users.
TEMPLATES = Path("emulator/scaffolding/templates")


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

    @property
    def misses_limit(self) -> bool:
        """Whether one of the two shares is outside its limit."""
        return self.comment_share < MIN_COMMENT_SHARE or self.single_use_share > MAX_SINGLE_USE_SHARE

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
    # From the tree and not from tokens: before Python 3.12, an f-string with its names is one token.
    used = Counter(
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
    )
    private = [name for name in functions if name.startswith("_") and not name.startswith("__")]
    return len(functions), [name for name in private if used[name] == 1]


def measure(path: Path) -> Totals:
    """Measure one module."""
    functions, single_use = single_use_functions(path)
    with tokenize.open(path) as file:
        comments = {
            token.start[0] for token in tokenize.generate_tokens(file.readline) if token.type == tokenize.COMMENT
        }
    lines = len(path.read_text(encoding="utf-8").splitlines())
    return Totals(lines, len(comments), functions, len(single_use))


def main(paths: list[Path], *, all_packages: bool, verbose: bool) -> int:
    """Print the total, and lines per package. Return the exit code."""
    packages: defaultdict[Path, Totals] = defaultdict(Totals)
    total = Totals()
    for root in paths or [Path("emulator")]:
        for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
            if TEMPLATES in path.parents:
                continue
            measured = measure(path)
            packages[path.parent].add(measured)
            total.add(measured)
            if verbose:
                for name in single_use_functions(path)[1]:
                    print(f"{path}: {name} has one use")
    # The limits apply to the whole. A single package may well miss them.
    failed = total.misses_limit and not paths
    shown = [
        (str(package), sums)
        for package, sums in sorted(packages.items())
        if all_packages or (failed and sums.misses_limit)
    ]
    width = max(len(name) for name, _ in [*shown, ("total", total)])
    for name, sums in [*shown, ("total", total)]:
        print(
            f"{name:{width}}  {sums.lines:6} lines  {sums.comment_share:6.1%} comments  "
            f"{sums.functions:5} functions  {sums.single_use_share:6.1%} private with one use"
        )
    if failed:
        limits = f"at least {MIN_COMMENT_SHARE:.0%} comments, at most {MAX_SINGLE_USE_SHARE:.0%} private with one use"
        print(f"The total must have {limits}. Details: make metrics")
    return int(failed)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    paths = [Path(argument) for argument in arguments if not argument.startswith("-")]
    sys.exit(main(paths, all_packages="--all" in arguments, verbose="-v" in arguments))
