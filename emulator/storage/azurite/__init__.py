"""Finding, fetching, starting and watching Azurite."""

from emulator.storage.azurite.server import FOLDER, HOW_TO_GET_AZURITE, Azurite, NoAzurite, open_azurite

__all__ = ["FOLDER", "HOW_TO_GET_AZURITE", "Azurite", "NoAzurite", "open_azurite"]
