"""Time that stands still while anything works, and jumps to the next due thing when all is idle."""

from emulator.virtual_time.clock import VirtualClock
from emulator.virtual_time.loop import VirtualTimeLoop

__all__ = ["VirtualClock", "VirtualTimeLoop"]
