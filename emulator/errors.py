"""Errors that azemu raises on purpose, all with a message for the user.

EmulatorError                     base class
├── ConfigurationError            host.json, local.settings.json, the environment or the command line (exit code 1)
├── AppLoadError                  the function app could not be imported or indexed
├── StorageUnavailable            the storage account cannot be reached or started
└── StorageError                  (emulator.storage.port) error response of the storage service

Errors of one package derive from these and are defined in that package.
"""

from __future__ import annotations


class EmulatorError(Exception):
    """Base class of all errors for the user. `str(error)` is the whole message: what failed, where, what to do."""


class ConfigurationError(EmulatorError):
    """Missing or wrong setting. The message names the file and the key, the value, and the allowed values."""


class AppLoadError(EmulatorError):
    """Failure to load the function app. The message is that of the Python worker, with the lines of the app's code."""


class StorageUnavailable(EmulatorError):
    """Storage that cannot be reached or started. The message says how to get storage."""
