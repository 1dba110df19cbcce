"""The URLs of the management API: those of one instance, and the templates that the client binding hands to Python.

Source: durable-extension, HttpManagementPayload.cs, HttpCreationPayload.cs; docs/protocol/durable-client-http.md 1.3
and 1.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emulator.dotnet.query_values import form_encode

WEBHOOK_PATH = "/runtime/webhooks/durabletask"

_CHECK_STATUS = (
    "statusQueryGetUri",
    "sendEventPostUri",
    "terminatePostUri",
    "purgeHistoryDeleteUri",
    "restartPostUri",
    "suspendPostUri",
    "resumePostUri",
)


@dataclass(frozen=True, slots=True)
class ManagementUrls:
    """`base`: the webhook's URL without a query. `code`: the system key, or empty."""

    base: str
    hub: str
    connection: str
    code: str

    @property
    def _suffix(self) -> str:
        hub, connection = form_encode(self.hub), form_encode(self.connection)
        return f"taskHub={hub}&connection={connection}" + (f"&code={self.code}" if self.code else "")

    def all(self, instance: str) -> dict[str, str]:
        """Every URL of an instance; `instance` is put in as it is. Words in braces stay for the reader to replace."""
        url = f"{self.base}/instances/{instance}"
        suffix = self._suffix
        return {
            "statusQueryGetUri": f"{url}?{suffix}",
            "sendEventPostUri": f"{url}/raiseEvent/{{eventName}}?{suffix}",
            "terminatePostUri": f"{url}/terminate?reason={{text}}&{suffix}",
            "rewindPostUri": f"{url}/rewind?reason={{text}}&{suffix}",
            "purgeHistoryDeleteUri": f"{url}?{suffix}",
            "restartPostUri": f"{url}/restart?{suffix}",
            "suspendPostUri": f"{url}/suspend?reason={{text}}&{suffix}",
            "resumePostUri": f"{url}/resume?reason={{text}}&{suffix}",
        }

    def check_status(self, instance_id: str) -> dict[str, str]:
        """The body of a start's answer. Unlike the binding's payload it has no rewind URL."""
        urls = self.all(form_encode(instance_id))
        return {"id": instance_id} | {name: urls[name] for name in _CHECK_STATUS}

    def creation(self) -> Mapping[str, str]:
        url = f"{self.base}/orchestrators/{{functionName}}[/{{instanceId}}]"
        code = f"code={self.code}" if self.code else ""
        return {
            "createNewInstancePostUri": f"{url}?{code}",
            "createAndWaitOnNewInstancePostUri": (
                f"{url}?timeout={{timeoutInSeconds}}&pollingInterval={{intervalInSeconds}}&{code}"
            ),
        }
