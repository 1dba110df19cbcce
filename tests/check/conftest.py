"""Fixtures for tests that load apps in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Restore the configuration of `logging`, which some of the apps replace or switch off when they are imported."""
    root = logging.root
    handlers, level, disabled = root.handlers[:], root.level, root.manager.disable
    loggers = [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    enabled = [logger for logger in (root, *loggers) if not logger.disabled]
    yield
    # pytest adds and removes its own handlers around each phase of a test: those of now are not removed.
    root.handlers[:] = [*root.handlers, *(handler for handler in handlers if handler not in root.handlers)]
    root.setLevel(level)
    logging.disable(disabled)
    for logger in enabled:
        logger.disabled = False
