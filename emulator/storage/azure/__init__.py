"""The storage port on a real account, through the official SDKs."""

from emulator.storage.azure.account import open_account

__all__ = ["open_account"]
