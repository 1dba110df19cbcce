"""Entry point of the command `azemu`. It reacts to Ctrl-C before it loads the rest of the command."""

from __future__ import annotations

import os
import signal
import sys

# When this module is loaded, before anything else: until the command has its own handlers, Ctrl-C ends the process at
# once. Python's handler would print a traceback of whatever module is being imported. A program that runs in the
# background ignores Ctrl-C from the start. `azemu.main` does the same earlier; `python -m emulator` begins here.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Run the command. See `emulator.cli.command.main`."""
    _open_standard_streams()
    from emulator.loading import loading_modules

    with loading_modules():
        from emulator.cli.command import main as run_command

    return run_command()


def _open_standard_streams() -> None:
    """Connect standard streams that the caller has closed (`azemu start >&-`, pythonw.exe) to the null device.

    Otherwise a socket or file that is opened later would get the descriptor, and child processes would write to it.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The lowest free descriptor is this one, unless the program has none at all (pythonw.exe).
            opened = os.open(os.devnull, os.O_RDWR)
            if opened == descriptor:
                os.set_inheritable(opened, True)
            stream = open(opened, "w" if descriptor else "r", closefd=False, encoding="utf-8")  # noqa: SIM115 - stays open
            setattr(sys, name, stream)
