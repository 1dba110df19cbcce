"""Pixmap: an image in the binary PPM format (P6, 8 bits), which needs no package to read."""

from __future__ import annotations

import re
from dataclasses import dataclass

HEADER = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")


@dataclass(frozen=True)
class Pixmap:
    """`pixels`: three bytes for each pixel (red, green, blue), row by row."""

    width: int
    height: int
    pixels: bytes

    @classmethod
    def read(cls, content: bytes) -> Pixmap:
        """Read the content of a file. Raises ValueError if it is not a pixmap."""
        header = HEADER.match(content)
        if header is None:
            raise ValueError("not a binary PPM image with 8 bits")
        width, height = int(header[1]), int(header[2])
        pixels = content[header.end() :]
        if len(pixels) != 3 * width * height:
            raise ValueError("the image is not complete")
        return cls(width, height, pixels)

    def reduced(self, longest_side: int) -> Pixmap:
        """Return a copy whose sides are at most that long, with every n-th pixel of each n-th row."""
        step = max(1, -(-max(self.width, self.height) // longest_side))
        rows = range(0, self.height, step)
        columns = range(0, self.width, step)
        starts = (3 * (row * self.width + column) for row in rows for column in columns)
        return Pixmap(len(columns), len(rows), b"".join(self.pixels[start : start + 3] for start in starts))

    def bytes(self) -> bytes:
        """Return the content of a file."""
        return b"P6\n%d %d\n255\n" % (self.width, self.height) + self.pixels
