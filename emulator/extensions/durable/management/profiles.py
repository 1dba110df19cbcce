"""Behaviour profiles of the durable HTTP API: the versions of the extension whose responses it can imitate.

Profile `e26` is extension 3.15 of 2026. Profile `default` is `e26` with four differences that help users of Python.
Source: docs/protocol/durable-client-http.md chapter 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.errors import ConfigurationError

PROFILE_SETTING = "AZEMU_DURABLE_HTTP_PROFILE"
"""App setting that selects a profile by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProfile:
    """Differences between the profiles.

    `checks_starts`: starting an unknown orchestrator or an invalid instance id gets a 400 response.
    `short_start_errors`: the 400 body of a start has the member Message only.
    `refuses_entity_lifecycle`: terminate, suspend and resume of an entity gets a 400 response.
    `checks_pages`: a negative page size or a foreign token gets a 400 response, and not 500 as an error of storage.
    `cleans_entities`: POST cleanEntityStorage exists.
    """

    name: str
    checks_starts: bool
    short_start_errors: bool
    refuses_entity_lifecycle: bool
    checks_pages: bool
    cleans_entities: bool


DEFAULT = HttpProfile(
    name="default",
    checks_starts=True,
    # azure-functions-durable 1.7.0 reads ExceptionMessage of every 400 and raises KeyError if it is missing.
    short_start_errors=False,
    # A task hub stores an entity as an orchestration, so the real extension would terminate or suspend that.
    refuses_entity_lifecycle=True,
    # The caller's mistake, for which the real extension reports an error of the storage.
    checks_pages=True,
    # In Azure clients ask for it over gRPC, which azure-functions-durable 1.x does not speak.
    cleans_entities=True,
)
E26 = HttpProfile(
    name="e26",
    checks_starts=False,
    short_start_errors=True,
    refuses_entity_lifecycle=False,
    checks_pages=False,
    cleans_entities=False,
)

_PROFILES = {profile.name: profile for profile in (DEFAULT, E26)}


def profile_named(name: str | None) -> HttpProfile:
    """Return the profile of this name in any case; None or blank means `default`.

    Raises ConfigurationError for an unknown name.
    """
    profile = _PROFILES.get((name or DEFAULT.name).strip().lower())
    if profile is None:
        raise ConfigurationError(
            f'App setting {PROFILE_SETTING} is "{name}". Set it to one of: {", ".join(_PROFILES)}.'
        )
    return profile
