"""Files and folders that only the user who runs azemu can read: storage data, access keys, journals, locks and logs.

On Windows they have the permissions of their folder, which are the user's own below the home folder.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

APP_FOLDERS: Final = (".azemu", ".azurite")
"""The folders that azemu creates in an app's folder."""

UMASK: Final = 0o077
"""For processes that create such files themselves."""


def owner_only(path: str, flags: int) -> int:
    """Open a file that is created for the owner only (mode 600). For `open(…, opener=owner_only)`."""
    return os.open(path, flags, 0o600)


def make_private_folder(folder: Path) -> None:
    """Create a folder, and those above it that are missing, for the owner only (mode 700). Raises OSError.

    An existing folder `.azemu` or `.azurite` on the path, as earlier versions created it, becomes private, too: that
    also protects the files in it. Other existing folders are left alone. The app's folder itself is not created: if it
    was renamed or deleted while a host runs, a new one would be an app without functions.
    """
    above = (folder, *folder.parents)
    app = next((path.parent for path in above if path.name in APP_FOLDERS), None)
    if app is not None and not app.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(app))
    for missing in reversed([path for path in above if not path.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    if sys.platform == "win32":
        return
    for path in above:
        if path.name in APP_FOLDERS:
            # OSError: the folder belongs to another user, who decides who may read it.
            with suppress(OSError):
                mode = path.stat().st_mode & 0o777
                if mode & UMASK:
                    path.chmod(mode & ~UMASK)
