"""Storage in an emulator such as Azurite, through a small client of the Azure Storage REST interface."""

from emulator.storage.rest.account import open_account

__all__ = ["open_account"]
