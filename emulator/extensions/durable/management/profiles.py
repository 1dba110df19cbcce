"""Which version of the real extension the management API answers like.

`default` is what azemu recommends: 3.15 of 2026, but with the older checks of function names and instance ids and with
four-key bodies of every 400, because azure-functions-durable 1.7.0 reads `ExceptionMessage` of any 400.
Source: docs/protocol/durable-client-http.md chapter 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.errors import ConfigurationError

PROFILE_SETTING = "AZEMU_DURABLE_HTTP_PROFILE"
"""The app setting that selects a profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProfile:
    """Where the versions differ.

    `plus_is_blank`: the path is form-decoded. `checks_starts`: an unknown orchestrator or a strange instance id is
    refused. `terse_starts`: a start's 400 has only the key Message. `takes_version`: `?version=` of a start counts.
    `conflicts`: a start over a living instance answers 409 instead of 500. `explains_states`: rewind and purge in the
    wrong state, or a rewind of nothing, answer with a text. `spares_entities`: no lifecycle operations on entities.
    `cleans_entities`: there is an endpoint for it.
    """

    name: str
    plus_is_blank: bool = True
    checks_starts: bool = True
    terse_starts: bool = False
    takes_version: bool = True
    conflicts: bool = True
    explains_states: bool = True
    spares_entities: bool = True
    cleans_entities: bool = True


DEFAULT = HttpProfile(name="default")
E26 = HttpProfile(name="e26", checks_starts=False, terse_starts=True, spares_entities=False, cleans_entities=False)
E24 = HttpProfile(
    name="e24",
    plus_is_blank=False,
    takes_version=False,
    conflicts=False,
    explains_states=False,
    spares_entities=False,
    cleans_entities=False,
)

_PROFILES = {profile.name: profile for profile in (DEFAULT, E24, E26)}


def profile_named(name: str | None) -> HttpProfile:
    """The profile of that name; None or blank means the default. Raises ConfigurationError."""
    found = _PROFILES.get((name or DEFAULT.name).strip().lower())
    if found is None:
        raise ConfigurationError(
            f'The setting {PROFILE_SETTING} is "{name}", but there are only the profiles {", ".join(_PROFILES)}.'
        )
    return found
