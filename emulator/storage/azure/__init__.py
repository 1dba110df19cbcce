"""Storage in an Azure account, through the official Azure SDKs."""

from emulator.storage.azure.account import open_account

__all__ = ["open_account"]
