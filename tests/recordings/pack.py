"""Command that packs a folder of recordings into a .tar.gz whose bytes depend on the files alone.

    python -m tests.recordings.pack FOLDER ARCHIVE

Owners, times and permissions of the files are left out and the names are sorted, so packing the same files again
changes nothing that version control sees.
"""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path


def main(folder: Path, archive: Path) -> None:
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    # An empty file name and the time 0 keep the name of the archive and the time of packing out of the gzip header.
    with archive.open("wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as compressed:
        compressed.write(packed(contents))


def packed(contents: Mapping[str, bytes]) -> bytes:
    """Return an uncompressed tar file of `contents`: path to bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(contents.items()):
            # A new TarInfo has owner 0, time 0 and the mode 0644.
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
