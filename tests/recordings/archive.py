"""Files of a .tar.gz that tests read without unpacking it to a disk."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any


class Archive:
    """Text files of a .tar.gz, addressed by their path in it.

    The archive is decompressed into memory when a file is first read. Every pytest-xdist worker does that for itself
    (0.1 s): there is no temporary folder that workers would have to share, lock and remove.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def contents(self) -> Mapping[str, bytes]:
        """Bytes of every file by its path, in the archive's order, which is sorted."""
        with tarfile.open(self.path) as tar:
            files = ((member.name, tar.extractfile(member)) for member in tar)
            return {name: file.read() for name, file in files if file is not None}

    def text(self, path: str) -> str:
        return self.contents[path].decode()

    def json(self, path: str) -> Any:
        return json.loads(self.contents[path])

    def json_lines(self, path: str) -> list[Any]:
        return [json.loads(line) for line in self.contents[path].splitlines()]
