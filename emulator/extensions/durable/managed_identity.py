"""Tokens of Microsoft Entra ID for `call_http` with a token source.

On Azure they come from the app's managed identity, through an endpoint on the machine (IDENTITY_ENDPOINT). On a
developer's machine they come from the Azure CLI, for the account that `az login` has signed in.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from emulator import bound_json as json
from emulator.errors import EmulatorError
from emulator.subprocesses import kill_process_tree, start_detached

# The .NET extension appends "/.default" to these resources only. Others are used as the app wrote them.
_NEED_SCOPE = frozenset(
    (
        "https://management.core.windows.net",
        "https://management.core.windows.net/",
        "https://graph.microsoft.com",
        "https://graph.microsoft.com/",
    )
)


class TokenUnavailable(EmulatorError):
    """No token for a resource. The message names the source of tokens, and how to get a token."""


class TokenSource(Protocol):
    """Source of the tokens of `call_http`."""

    async def token(self, resource: str) -> str:
        """Return a bearer token. Raises TokenUnavailable."""


def scope_of(resource: str) -> str:
    """Return the scope of a resource, for which a token is requested."""
    return f"{resource.rstrip('/')}/.default" if resource in _NEED_SCOPE else resource


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """Implements TokenSource. `settings`: the app's settings and environment, which may have IDENTITY_ENDPOINT."""

    settings: Mapping[str, str]
    session: aiohttp.ClientSession

    async def token(self, resource: str) -> str:
        endpoint, secret = self.settings.get("IDENTITY_ENDPOINT"), self.settings.get("IDENTITY_HEADER")
        if not endpoint or not secret:
            return await _from_azure_cli(resource)
        # The endpoint wants the resource, and the Azure CLI the scope.
        query = {"resource": resource.removesuffix("/.default"), "api-version": "2019-08-01"}
        try:
            async with self.session.get(endpoint, params=query, headers={"X-IDENTITY-HEADER": secret}) as response:
                body = await response.text()
        except aiohttp.ClientError as error:
            raise TokenUnavailable(
                f'No token for the resource "{resource}": the managed identity at {endpoint} did not respond ({error}).'
            ) from error
        return _token_in(body, "access_token", f"the managed identity at {endpoint}", resource)


async def _from_azure_cli(resource: str) -> str:
    program = shutil.which("az")
    if program is None:
        raise TokenUnavailable(
            f'No token for the resource "{resource}": this machine has no managed identity (IDENTITY_ENDPOINT is not '
            "set) and no Azure CLI. Install the Azure CLI and run `az login`."
        )
    process = await start_detached(
        program,
        *("account", "get-access-token", "--output", "json", "--scope", scope_of(resource)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate()
    except asyncio.CancelledError:
        # The request has timed out or the host stops. The CLI must not outlive it.
        await kill_process_tree(process)
        raise
    if process.returncode:
        message = errors.decode(errors="replace").strip()
        raise TokenUnavailable(f'No token for the resource "{resource}": the Azure CLI failed with "{message}".')
    return _token_in(output.decode(), "accessToken", "the Azure CLI", resource)


def _token_in(body: str, member: str, source: str, resource: str) -> str:
    # Only the beginning of an unexpected body is shown. It may be a whole web page from a proxy.
    try:
        members: Any = json.loads(body)
        token = members[member]
    except (ValueError, KeyError, TypeError) as error:
        raise TokenUnavailable(f'No token for the resource "{resource}": {source} returned "{body[:200]}".') from error
    return str(token)
