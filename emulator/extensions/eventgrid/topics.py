"""Topics of Event Grid outputs: endpoint and credential from the app settings.

Source: Extensions.EventGrid, EventGridAsyncCollectorFactory; docs/protocol/functions-host.md 8.6.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from emulator.config.settings import Settings
from emulator.errors import ConfigurationError
from emulator.worker.port import member_of

_PREFIX: Final = "AzureWebJobs"
_ENDPOINT: Final = "topicEndpointUri"
_LOCAL_HOSTS: Final = frozenset(("localhost", "127.0.0.1", "::1"))


class TopicNotConfigured(ConfigurationError):
    """A setting of an Event Grid output is missing or wrong. The message names the setting."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic. `setting`: the one with its endpoint. `endpoint`: empty if the setting is empty.

    Either `key` or `identity` (the members of the connection, by lower-case name) is set, unless the endpoint is empty.
    """

    setting: str
    endpoint: str
    key: str | None = None
    identity: Mapping[str, str] | None = None

    def is_local(self, origin: str) -> bool:
        """Return whether events stay in this process: no endpoint, or one of this host. `origin`: of this host."""
        if not self.endpoint:
            return True
        own, url = urlsplit(origin), urlsplit(self.endpoint)
        return url.scheme == own.scheme and url.hostname in _LOCAL_HOSTS and url.port == own.port


def topic_of(properties: Mapping[str, object], settings: Settings) -> Topic:
    """Return the topic of a binding. Raises TopicNotConfigured."""
    connection = str(member_of(properties, "connection") or "")
    setting = str(member_of(properties, _ENDPOINT) or "")
    if bool(connection) is bool(setting):
        raise TopicNotConfigured(
            "Specify either the 'Connection' property or both 'TopicKeySetting' and 'TopicEndpointUri' properties, but "
            f"not both. The binding has {'both' if setting else 'none of them'}."
        )
    if connection:
        return _of_connection(connection, settings)
    endpoint = settings.get(setting)
    if endpoint is None:
        raise TopicNotConfigured(
            "Unable to resolve app setting for property 'EventGridAttribute.TopicEndpointUri'. Make sure the app "
            f"setting exists and has a valid value. 'topicEndpointUri' names the setting '{setting}', which does not "
            f"exist. {_advice(setting)}"
        )
    _check_endpoint(endpoint.strip(), setting)
    if not endpoint.strip():
        return Topic(setting, "")
    key_setting = str(member_of(properties, "topicKeySetting") or "")
    return Topic(setting, endpoint.strip(), key=settings.get(key_setting) if key_setting else None)


def credential_problem(topic: Topic, key_setting: object) -> str | None:
    """Return why a request to the topic cannot be signed; None if it can. `key_setting`: the binding's."""
    if topic.key or topic.identity is not None:
        return None
    return (
        "Unable to resolve app setting for property 'EventGridAttribute.TopicKeySetting'. Make sure the app setting "
        f"exists and has a valid value. 'topicKeySetting' names the setting '{key_setting or ''}', which has no value. "
        'Add it to "Values" in local.settings.json, with an access key of the topic.'
    )


def _of_connection(name: str, settings: Settings) -> Topic:
    for section_name in (f"{_PREFIX}{name}", name):
        section = settings.children(section_name)
        if _ENDPOINT.lower() not in section:
            continue
        setting, endpoint = f"{section_name}__{_ENDPOINT}", section[_ENDPOINT.lower()].strip()
        _check_endpoint(endpoint, setting)
        # azure-identity is not a dependency of azemu: only connections with an identity need it.
        if endpoint and importlib.util.find_spec("azure.identity") is None:
            raise TopicNotConfigured(
                f"The Event Grid connection in the settings '{section_name}__…' uses an identity, which needs the "
                "package azure-identity: run pip install azure-identity, or use topicEndpointUri and topicKeySetting "
                "in the binding instead of a connection."
            )
        return Topic(setting, endpoint, identity=section)
    raise TopicNotConfigured(f"The Event Grid connection '{name}' does not exist. {_advice(f'{name}__{_ENDPOINT}')}")


def _check_endpoint(endpoint: str, setting: str) -> None:
    try:
        url = urlsplit(endpoint)
        is_valid = not endpoint or (url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise TopicNotConfigured(
            "The 'TopicEndpointUri' property must be a valid absolute Uri. The value of the setting "
            f"'{setting}' is '{endpoint}'; allowed: the endpoint of a topic, such as "
            "https://NAME.REGION-1.eventgrid.azure.net/api/events"
        )


def _advice(setting: str) -> str:
    return (
        f"Add '{setting}' to \"Values\" in local.settings.json: the endpoint of a topic, or an empty text to deliver "
        "the events to the Event Grid functions of this app."
    )


def local_subscribers(topic: Topic, names: Sequence[str], publisher: str) -> list[str]:
    """Return the functions that get the events of a local topic. `names`: the listening Event Grid functions.

    If the endpoint has the query parameter functionName, as the URL of a webhook, it is that function. Otherwise it is
    every function but the publisher, which would call itself without end.
    """
    query = parse_qsl(urlsplit(topic.endpoint).query)
    chosen = next((value for key, value in query if key.lower() == "functionname"), None)
    return [name for name in names if (name == chosen if chosen is not None else name != publisher)]
