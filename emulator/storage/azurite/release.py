"""Release of Azurite that azemu installs, with the lock file of its packages.

The folder `npm` beside this module is part of azemu's wheel. Its package.json is the only place of the version; `make
lock` writes its package-lock.json. The lock file has the hash of each package and no address, so that npm downloads
from the registry of the user's configuration and accepts only the packages that azemu was tested with.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from emulator import bound_json as json

NPM_FOLDER: Final = Path(__file__).with_name("npm")
VERSION: Final[str] = json.loads((NPM_FOLDER / "package.json").read_text(encoding="utf-8"))["dependencies"]["azurite"]
DOCKER_IMAGE: Final = f"mcr.microsoft.com/azure-storage/azurite:{VERSION}"
# Azurite's package.json says 22, but it also works with 20, which many developers still have.
FIRST_NODE_VERSION: Final = 20


def copy_name() -> str:
    """Return the name of the folder for an installation of exactly the packages in the lock file."""
    # A later azemu may have the same Azurite with later packages below it.
    lock = hashlib.sha256((NPM_FOLDER / "package-lock.json").read_bytes()).hexdigest()
    return f"azurite-{VERSION}-{lock[:12]}"
