"""Azurite, the storage emulator: find an installed one, install it, run it for all apps of the user, stop it."""

from emulator.storage.azurite.search import HOW_TO_GET_AZURITE, NoAzurite
from emulator.storage.azurite.server import Azurite, open_azurite

__all__ = ["HOW_TO_GET_AZURITE", "Azurite", "NoAzurite", "open_azurite"]
