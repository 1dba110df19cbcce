"""Command `azemu`: run what the arguments ask for, print errors, return the exit code.

Modules that are needed by one command only are imported inside functions, so that `azemu --help` responds at once.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from emulator import exit_codes
from emulator.cli.arguments import parse
from emulator.cli.func_commands import is_called_as_func
from emulator.errors import EmulatorError

# Whose command line and console azemu follows.
_CORE_TOOLS_VERSION: Final = "4.13.0"
# EDQUOT does not exist on Windows.
_FULL: Final = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command (default: the process's arguments). Return its exit code: 0 after a clean stop, 1 after an error
    whose message was printed, 2 for a wrong command line, 130 after Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The encoding of a terminal or file may lack a character (Windows). A question mark is better than a traceback.
        sys.stdout.reconfigure(errors="replace")
    if arguments is None:
        arguments = sys.argv[1:]
        # `azemu shim` installs the command as `func`. Editors read its version, and expect only the number.
        if is_called_as_func(Path(sys.argv[0])) and list(arguments) in (["--version"], ["-v"]):
            sys.stdout.write(f"{_CORE_TOOLS_VERSION}\n")
            return exit_codes.OK
    line = parse(arguments)
    if isinstance(line, int):
        return line  # `parse` has printed the help or an error message.
    # See entry.py: until here, Ctrl-C ends the process at once.
    if line.command.cleans_up and signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = line.command.run_with(line.options)
        # Here, so that an error is caught: at the end of the process, Python would print it.
        sys.stdout.flush()
    except EmulatorError as error:
        from emulator.cli.printing import shown_lines
        from emulator.host.console.output import use_colour

        red, plain = ("\x1b[91m", "\x1b[0m") if use_colour(sys.stderr, os.environ) else ("", "")
        # It may contain names and texts of the app, of files, or of a server.
        sys.stderr.write(f"{red}{shown_lines(str(error))}{plain}\n")
        return exit_codes.FAILED
    except (OSError, UnicodeEncodeError) as error:
        message = _message_for(error, arguments)
        if message is None:
            raise
        sys.stderr.write(message)
        if isinstance(error, OSError):
            # At the end of the process, Python would try to write the rest of the output, and print the error.
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.FAILED
    except KeyboardInterrupt:
        # Only where no signal handler is installed yet, or in a command that cleans up.
        return exit_codes.INTERRUPTED
    else:
        return code


def _message_for(error: OSError | UnicodeEncodeError, arguments: Sequence[str]) -> str | None:
    """Return what to print for an error of the output or the command line; None for all others."""
    if isinstance(error, BrokenPipeError):
        return ""  # The program that reads the output has ended, as in `azemu durable list | head -1`.
    if isinstance(error, OSError):
        full = f"A file or the output cannot be written: {error.strerror}.\n"
        return full if error.errno in _FULL else None
    # Bytes of the command line that are not UTF-8 become such characters. Folders may have them, ids and names not.
    broken = next((text for text in arguments if any("\udc80" <= letter <= "\udcff" for letter in text)), None)
    return None if broken is None else f"The argument {broken!a} is not text in UTF-8.\n"
