"""Management URLs: those of one instance, and the URL templates in the payload of the durableClient binding.

Source: durable-extension, HttpManagementPayload.cs, HttpCreationPayload.cs; docs/protocol/durable-client-http.md 1.3
and 1.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emulator.dotnet.query_values import form_encode

WEBHOOK_PATH = "/runtime/webhooks/durabletask"

# In the order of HttpManagementPayload, which clients see in the JSON.
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
    """Management URLs of a task hub. `base`: the webhook's URL. `code`: the system key, or empty."""

    base: str
    hub: str
    connection: str
    code: str

    def all(self, instance: str) -> dict[str, str]:
        """Return all URLs of an instance by payload member. `instance`: the encoded instance id, or a placeholder.

        Words in braces are placeholders for the caller.
        """
        url = f"{self.base}/instances/{instance}"
        hub, connection = form_encode(self.hub), form_encode(self.connection)
        # The key is not encoded, as in the extension. Generated keys have URL-safe characters only.
        suffix = f"taskHub={hub}&connection={connection}" + (f"&code={self.code}" if self.code else "")
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
        """Return the body of the 202 response to a start. Unlike the binding's payload it has no rewind URL."""
        # Instance ids may have blanks and other characters that a path segment cannot.
        urls = self.all(form_encode(instance_id))
        return {"id": instance_id} | {name: urls[name] for name in _CHECK_STATUS}

    def creation(self) -> Mapping[str, str]:
        """Return the URL templates for starting instances."""
        url = f"{self.base}/orchestrators/{{functionName}}[/{{instanceId}}]"
        # The extension writes the question mark even if nothing follows it.
        code = f"code={self.code}" if self.code else ""
        return {
            "createNewInstancePostUri": f"{url}?{code}",
            "createAndWaitOnNewInstancePostUri": (
                f"{url}?timeout={{timeoutInSeconds}}&pollingInterval={{intervalInSeconds}}&{code}"
            ),
        }
