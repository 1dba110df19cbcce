"""Entry point of the command `azemu`. It reacts to Ctrl-C before it loads the rest of the command."""

from __future__ import annotations

import signal

# When this module is loaded, before anything else: until the command has its own handlers, Ctrl-C ends the process at
# once. Python's handler would print a traceback of whatever module is being imported. A program that runs in the
# background ignores Ctrl-C from the start.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> int:
    """Run the command. See `emulator.cli.command.main`."""
    from emulator.cli.command import main as run_command

    return run_command()
