"""Storage in an Azure account, through the official Azure SDKs."""

from emulator.packages import require

# Here, because the modules of this package cannot be imported with a release that is too old. The SDKs of the three
# services are checked when they are first used.
require("azure-core")

from emulator.storage.azure.account import open_account  # noqa: E402 - after the check

__all__ = ["open_account"]
