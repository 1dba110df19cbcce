"""Fuzz parsers with atheris: `make fuzz`, or `make fuzz ARGS='schedule --seconds 600'`.

Each parser gets a process, which ends at the first defect. The inputs that reach new code are kept in .fuzz/NAME and are
where the next run begins.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from fuzz.inputs import PIECES
from fuzz.targets import MAX_INPUT_BYTES, TARGETS

FOLDER = Path(".fuzz")
MAX_MEMORY_MIB = 1024
# Atheris counts every branch, which makes Python code several times as slow.
SLOW_SECONDS = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the parsers of azemu.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"parsers; default: all. {', '.join(sorted(TARGETS))}")
    parser.add_argument("--seconds", type=int, default=60, help="for each parser (default: %(default)s)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - TARGETS.keys())
    if unknown:
        parser.error(f"unknown parser: {', '.join(unknown)}; known: {', '.join(sorted(TARGETS))}")
    failed = [name for name in arguments.names or sorted(TARGETS) if not fuzz(name, arguments.seconds)]
    if failed:
        print(f"Defects in: {', '.join(failed)}. Add each input as a regression to fuzz/targets.py.")
    return 1 if failed else 0


def fuzz(name: str, seconds: int) -> bool:
    """Fuzz a parser for some seconds. Return False after a defect, whose traceback and input are printed."""
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[name].seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    dictionary = FOLDER / "pieces.txt"
    # libFuzzer takes words of at most 64 bytes.
    words = ["".join(f"\\x{byte:02x}" for byte in piece) for piece in PIECES if len(piece) <= 64]
    dictionary.write_text("".join(f'"{word}"\n' for word in words))
    print(f"{name}: {seconds} s …", flush=True)
    options = [
        *(f"-max_total_time={seconds}", f"-max_len={MAX_INPUT_BYTES}", f"-dict={dictionary}"),
        *(f"-rss_limit_mb={MAX_MEMORY_MIB}", f"-timeout={SLOW_SECONDS}", f"-artifact_prefix={FOLDER}/{name}-"),
    ]
    process = subprocess.run(
        [sys.executable, "-m", "fuzz.atheris_run", name, *options, str(corpus)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    lines = process.stdout.decode(errors="replace").splitlines()
    # The last line of progress: how many inputs there were, and how much code they reached.
    print("  ", next((line.strip() for line in reversed(lines) if line.startswith(("Done", "#"))), "no output"))
    if process.returncode != 0:
        print("\n".join(lines[-60:]))
    return process.returncode == 0


sys.exit(main())
