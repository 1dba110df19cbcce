"""Random numbers of the host, from a generator of its own.

User code may seed the generator of the module `random` to get the same numbers at every run, or replace its functions.
The host must neither get those numbers nor consume any of them.
"""

from __future__ import annotations

import os
import random  # noqa: TID251 - this is the place
from typing import Final

_generator = random.Random()

uniform: Final = _generator.uniform
"""See random.uniform."""
sample: Final = _generator.sample
"""See random.sample."""
repeat: Final = _generator.seed
"""Give the numbers of `uniform` and `sample` again that they gave after this seed; None: other numbers in every run."""
random_bytes: Final = os.urandom
"""Return so many bytes that cannot be predicted, for ids and keys."""
