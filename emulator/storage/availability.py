"""Whether a storage account responds: log lines for the beginning and the end of an outage.

Every client of an account notes its requests here. While the account is away, all loops and requests of a host fail.
They only retry (`emulator.storage.port.StorageOutage`), and one line tells of all of them.

    service = availability.service(endpoint)
    responses = service.responses                 # before a request is sent
    …
    service.answered()                            # or, without a response:
    service.unanswered(since=responses)
    raise service.error(message)                  # after the last attempt of a call
"""

from __future__ import annotations

from emulator.logs import get_logger
from emulator.storage.port import StorageOutage, StorageUnreachable

_log = get_logger(__name__)


class AccountAvailability:
    """Whether the services of one account respond.

    `description`: of the account, for the line about the end of an outage. `log_outages` False: callers report all
    errors, as commands do.
    """

    def __init__(self, description: str, *, log_outages: bool) -> None:
        self._description = description
        self._log_outages = log_outages
        self._services: dict[str, ServiceAvailability] = {}
        # The services that have failed since the last line "does not respond".
        self._away: set[ServiceAvailability] = set()

    def service(self, name: str) -> ServiceAvailability:
        """Return the service of this name, such as "queue"; always the same object."""
        return self._services.setdefault(name, ServiceAvailability(self))

    def note_away(self, service: ServiceAvailability, message: str) -> None:
        """Log that the account does not respond, unless that was logged for another service."""
        if not self._away and self._log_outages:
            _log.warning("Storage does not respond. What needs it waits and is retried until it does. %s", message)
        self._away.add(service)

    def note_back(self, service: ServiceAvailability) -> None:
        """Log that the account responds again, if the outage concerned this service."""
        if service not in self._away:
            return
        # The first response ends the outage for all: another service may get no more requests. If it is still away, its
        # next failure is a new line.
        self._away.clear()
        if self._log_outages:
            # A warning, because the console shows the failure by default, and would not show this.
            _log.warning("Storage responds again: %s", self._description)


class ServiceAvailability:
    """Whether one service of an account responds: the blob, queue or table service.

    Services are separate, because one of them may be away for long (a private endpoint, a firewall rule). Responses of
    the others must not end its outage, or each of its retries would be a new one.

    `responses`: number of responses so far.
    """

    def __init__(self, account: AccountAvailability) -> None:
        self._account = account
        self.responses = 0
        self._is_silent = False

    def answered(self) -> None:
        """Note a response, with any status."""
        self.responses += 1
        self._is_silent = False
        self._account.note_back(self)

    def unanswered(self, *, since: int) -> None:
        """Note a request that got no response. `since`: the number of responses when it was sent."""
        # A response that came meanwhile is newer: the request was sent before the service was back, or failed alone.
        if since == self.responses:
            self._is_silent = True

    def error(self, message: str) -> StorageUnreachable:
        """Return the error of a call whose last attempt got no response: StorageOutage, if no other request got one."""
        if not self._is_silent:
            return StorageUnreachable(message)
        self._account.note_away(self, message)
        return StorageOutage(message)
