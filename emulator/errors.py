"""Everything azemu raises on purpose.

EmulatorError                     a message for the user: what was being done, to what, what to do
├── ConfigurationError            host.json, local.settings.json, the command line (exit code 1)
├── AppLoadError                  the user's function app could not be imported or indexed
├── StorageUnavailable            no storage account can be reached or started
└── StorageError                  (emulator.storage.port) an answer of the storage service

Errors of one package derive from these and live in that package.
"""

from __future__ import annotations


class EmulatorError(Exception):
    """Base of all errors meant for a person. `str(error)` is the whole message."""


class ConfigurationError(EmulatorError):
    """A setting is missing or wrong. The message names the file and the key, what was found and what is allowed."""


class AppLoadError(EmulatorError):
    """The function app could not be loaded. The message is what the official worker shows, with the user's lines."""


class StorageUnavailable(EmulatorError):
    """Storage cannot be reached or started. The message says how to get one."""
