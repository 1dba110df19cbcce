"""Finding, fetching, starting and watching Azurite."""

from emulator.storage.azurite.server import FOLDER, Azurite, open_azurite

__all__ = ["FOLDER", "Azurite", "open_azurite"]
