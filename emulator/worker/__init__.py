"""Worker: imports the app and runs its functions, with the converters of azure-functions."""

from emulator.packages import require

# Here, because the modules of this package cannot be imported with a release that is too old.
require("azure-functions")
