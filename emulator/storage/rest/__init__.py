"""The storage port on a storage emulator, through a lean client of the REST interface."""

from emulator.storage.rest.account import open_account

__all__ = ["open_account"]
