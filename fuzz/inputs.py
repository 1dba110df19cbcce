"""Inputs for parsers: valid ones that are changed, repeated and nested, and random ones."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from hypothesis import strategies as st

from fuzz.targets import MAX_INPUT_BYTES

# Characters and words with a meaning in some of the formats.
_WORDS = [
    *"{}[]()<>\"'\\/|:;,.=*?!%&#@+-~ \t\r\n",
    *("0", "-1", "1e999", "9" * 5000, "NaN", "null", "true", "\ud800".encode("utf-8", "surrogatepass")),
    *(
        "\\ud800",
        "\x00",
        "\ufeff",
        "é",
        "😀",
        "/*",
        "//",
        "not ",
        "24:00:00",
        "0000-00-00T00:00:00",
        "9999-12-31T23:59:59Z",
    ),
]
PIECES = [piece if isinstance(piece, bytes) else piece.encode() for piece in _WORDS]
_TOKEN = re.compile(rb"\w+|\W")


def inputs(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return inputs of at most MAX_INPUT_BYTES."""
    # One integer per input instead of a strategy of each change, which would take most of the time of the tests.
    changed = st.builds(_changed, st.sampled_from(seeds), st.integers(0, 2**32))
    return st.one_of(changed, changed, changed, st.binary(max_size=40))


def _changed(seed: bytes, number: int) -> bytes:
    rng = random.Random(number)
    tokens = _TOKEN.findall(seed)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(tokens) + 1)
        end = min(len(tokens), place + rng.randint(0, 4))
        match rng.randrange(5):
            case 0:
                tokens[place:place] = [rng.choice(PIECES)]
            case 1:
                tokens[place:end] = [rng.choice(PIECES)]
            case 2:
                del tokens[place:end]
            case 3:
                tokens[place:place] = tokens[place:end] * (MAX_INPUT_BYTES // max(1, len(b"".join(tokens[place:end]))))
            case _:
                piece = rng.choice(PIECES)
                tokens[place:place] = [piece] * (MAX_INPUT_BYTES // len(piece))
        tokens = tokens[:MAX_INPUT_BYTES]
    return b"".join(tokens)[:MAX_INPUT_BYTES]
