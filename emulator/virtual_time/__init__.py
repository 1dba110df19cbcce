"""Virtual time: a clock and an event loop whose time advances only when the whole program is idle."""

from emulator.virtual_time.clock import VirtualClock
from emulator.virtual_time.loop import VirtualTimeLoop

__all__ = ["VirtualClock", "VirtualTimeLoop"]
