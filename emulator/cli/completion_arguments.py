"""Arguments of `azemu completion`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from emulator.cli.parsing import Parser

Shell = Literal["bash", "zsh", "fish", "powershell"]
SHELLS: Final[tuple[Shell, ...]] = ("bash", "zsh", "fish", "powershell")

_EXAMPLES: Final = """\
examples:
  bash          azemu completion bash > ~/.local/share/bash-completion/completions/azemu
  zsh           azemu completion zsh > ~/.zfunc/_azemu    (with fpath+=~/.zfunc before compinit in ~/.zshrc)
  fish          azemu completion fish > ~/.config/fish/completions/azemu.fish
  powershell    azemu completion powershell >> $PROFILE

The script is the same for all apps. Write it again after an update of azemu.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Options of `azemu completion`."""

    shell: Shell


def parse_completion(words: Sequence[str]) -> Completion:
    """Parse the arguments of `azemu completion`. Raises SystemExit after --help and for wrong arguments."""
    parser = Parser(
        "azemu completion",
        description="Print a script that lets a shell complete the commands and options of azemu.",
        epilog=_EXAMPLES,
    )
    # Not guessed from the environment: the script is usually written for another session.
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    return Completion(shell=parser.parse(words).shell)
