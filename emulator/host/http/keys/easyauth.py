"""Client principal of App Service authentication (EasyAuth) for development: its request headers, from a file.

    principal_headers("user.json", root)    # {"x-ms-client-principal": "eyJ…", "x-ms-client-principal-name": …}

The file holds the principal as App Service sends it (`auth_typ`, `claims` of `typ` and `val`, `name_typ`, `role_typ`),
as Static Web Apps sends it (`identityProvider`, `userId`, `userDetails`, `userRoles`), or in short:
`{"name": "ada@example.com", "id": "…", "provider": "aad", "roles": ["admin"], "claims": {"tid": "…"}}`.
Source: Microsoft Learn, "Work with user identities in Azure App Service authentication".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emulator import bound_json as json
from emulator.errors import ConfigurationError

SETTING = "AZEMU_CLIENT_PRINCIPAL"
"""App setting that holds the path of the file, relative to the app folder, or the JSON itself."""

# Claim types of the identity providers that App Service supports.
_NAME = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
_ROLE = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
_ID = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"


def principal_headers(source: str, root: Path) -> Mapping[str, str]:
    """Return the headers `x-ms-client-principal…`. `source`: a path or JSON text. Raises ConfigurationError."""
    is_json = source.lstrip().startswith("{")
    location = f"App setting {SETTING}" if is_json else str(root / source)
    try:
        content = json.loads(source if is_json else (root / source).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{location}: the client principal cannot be read: {error}. {SETTING} names a JSON file like "
            '{"name": "ada@example.com", "roles": ["admin"]}, or holds the JSON itself.'
        ) from error
    if not isinstance(content, dict):
        raise ConfigurationError(
            f"{location}: the client principal is {content!r}; it must be a JSON object like "
            '{"name": "ada@example.com"}.'
        )
    if "userDetails" in content or "userId" in content:
        # Static Web Apps has no claims; its principal names id and user directly.
        return _headers(
            content,
            provider=content.get("identityProvider"),
            id=content.get("userId"),
            name=content.get("userDetails"),
        )
    if not isinstance(content.get("claims"), list):
        content = _app_service_form(content)
    claims = content["claims"]
    return _headers(
        content,
        provider=content.get("auth_typ"),
        # Identity providers differ in the claim that identifies a user.
        id=_claim(claims, _ID) or _claim(claims, "sub") or _claim(claims, "oid"),
        name=_claim(claims, content.get("name_typ", _NAME)),
    )


def _app_service_form(short: Mapping[str, Any]) -> dict[str, Any]:
    """Return the principal as App Service sends it. `short`: the short form of the module docstring."""
    claims = [{"typ": _NAME, "val": short.get("name")}, {"typ": _ID, "val": short.get("id")}]
    claims += [{"typ": _ROLE, "val": role} for role in short.get("roles") or ()]
    claims += [{"typ": name, "val": value} for name, value in (short.get("claims") or {}).items()]
    return {
        "auth_typ": short.get("provider", "aad"),
        "claims": [claim for claim in claims if claim["val"] is not None],
        "name_typ": _NAME,
        "role_typ": _ROLE,
    }


def _claim(claims: Sequence[Any], kind: str) -> str | None:
    """Return the first value of a claim type. The file is written by hand, so items may be anything."""
    values = (str(claim.get("val")) for claim in claims if isinstance(claim, dict) and claim.get("typ") == kind)
    return next(values, None)


def _headers(principal: Mapping[str, Any], *, provider: Any, id: Any, name: Any) -> dict[str, str]:
    named = {"id": id, "name": name, "idp": provider}
    # The whole principal, as the app's own code may decode it; the other headers are its most used parts in plain text.
    encoded = base64.b64encode(json.dumps(principal).encode()).decode("ascii")
    return {
        "x-ms-client-principal": encoded,
        **{f"x-ms-client-principal-{part}": str(value) for part, value in named.items() if value},
    }
