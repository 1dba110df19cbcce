"""Azurite, the storage emulator: find an installed one, install it, start it, restart it after a crash, stop it."""

from emulator.storage.azurite.server import FOLDER, HOW_TO_GET_AZURITE, Azurite, NoAzurite, open_azurite

__all__ = ["FOLDER", "HOW_TO_GET_AZURITE", "Azurite", "NoAzurite", "open_azurite"]
