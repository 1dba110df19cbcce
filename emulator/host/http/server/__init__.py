"""HTTP server: connections, request limits, the middleware pipeline and request bodies."""

from emulator.packages import require

# Here, because the modules of this package cannot be imported with a release that is too old.
require("aiohttp")
