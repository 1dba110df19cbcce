"""Templates of `azemu init` and `azemu new`: their names, and their files in the folder `templates`.

A template is an app: `function_app.py` and its tests. `azemu init` copies it. `azemu new` takes the functions out of it
and gives them the name of the user. Its folder `v1` has the same functions for the v1 programming model.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.errors import ConfigurationError

_FOLDER: Final = Path(__file__).parent / "templates"
APP_FILE: Final = "function_app.py"
_TEST_FILE: Final = "test_function_app.py"
_V1_FOLDER: Final = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template. `summary`: one line for lists.

    `function`: the name of its function, which `azemu new` replaces; other names in the files contain it. None: only
    for `azemu init`. `makes_app`: False if the functions are of no use alone, so only for `azemu new`. `names`: other
    names, among them those of Core Tools and its template packages. `settings`: connections that the functions need.
    """

    name: str
    summary: str
    function: str | None
    makes_app: bool = True
    names: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def app_text(self) -> str:
        """Return the text of function_app.py."""
        return (_FOLDER / self.name / APP_FILE).read_text(encoding="utf-8")

    def test_text(self) -> str:
        """Return the text of the tests."""
        return (_FOLDER / self.name / _TEST_FILE).read_text(encoding="utf-8")

    def v1_files(self) -> dict[str, str]:
        """Return the files of the v1 programming model by their path in the app; empty if there are none."""
        folder = _FOLDER / self.name / _V1_FOLDER
        return {
            path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(folder.glob("*/*"))
            if path.name in ("__init__.py", "function.json")
        }

    @property
    def is_durable(self) -> bool:
        return "azure.durable_functions" in self.app_text()

    def renamed(self, text: str, name: str) -> str:
        """Replace the name of the template's function in a text of this template, also as a part of other names."""
        assert self.function is not None
        # Beside an underscore, too: the activity trip_book belongs to the function trip, and is renamed with it.
        return re.sub(rf"(?<![A-Za-z0-9]){self.function}(?![A-Za-z0-9])", name, text)


TEMPLATES: Final = (
    Template(
        name="http",
        summary="HTTP trigger: answer a request",
        function="hello",
        names=("HTTP trigger", "HttpTrigger"),
    ),
    Template(
        name="order",
        summary="durable: orders with stock, approval, retries (the app of the quickstart)",
        function=None,
    ),
    Template(
        name="timer",
        summary="timer trigger: run on a schedule",
        function="clean_up",
        names=("Timer trigger", "TimerTrigger"),
    ),
    Template(
        name="queue",
        summary="queue trigger: process a message, and send another one",
        function="process_message",
        names=("Azure Queue Storage trigger", "Queue trigger", "QueueTrigger"),
    ),
    Template(
        name="blob",
        summary="blob trigger: process a blob, and write another one",
        function="process_blob",
        names=("Azure Blob Storage trigger", "Blob trigger", "BlobTrigger"),
    ),
    Template(
        name="table",
        summary="table input and output behind HTTP triggers",
        function="note",
        names=("Table",),
    ),
    Template(
        name="eventgrid",
        summary="Event Grid trigger: process an event",
        function="handle_event",
        names=("Azure Event Grid trigger", "Event Grid trigger", "EventGridTrigger"),
    ),
    Template(
        name="servicebus-queue",
        summary="Service Bus queue trigger (locally by `azemu invoke`)",
        function="receive_message",
        names=("Azure Service Bus Queue trigger", "Service Bus Queue trigger", "ServiceBusQueueTrigger"),
        settings=("ServiceBusConnection",),
    ),
    Template(
        name="servicebus-topic",
        summary="Service Bus topic trigger (locally by `azemu invoke`)",
        function="receive_topic",
        names=("Azure Service Bus Topic trigger", "Service Bus Topic trigger", "ServiceBusTopicTrigger"),
        settings=("ServiceBusConnection",),
    ),
    Template(
        name="eventhub",
        summary="Event Hubs trigger (locally by `azemu invoke`)",
        function="read_event",
        names=("Azure Event Hub trigger", "Azure Event Hubs trigger", "Event Hub trigger", "EventHubTrigger"),
        settings=("EventHubConnection",),
    ),
    Template(
        name="cosmosdb",
        summary="Cosmos DB trigger (locally by `azemu invoke`)",
        function="follow_changes",
        names=("Azure Cosmos DB trigger", "Cosmos DB trigger", "CosmosDBTrigger"),
        settings=("CosmosDbConnection",),
    ),
    Template(
        name="sql",
        summary="SQL trigger (locally by `azemu invoke`)",
        function="follow_rows",
        names=("SQL trigger", "SqlTrigger"),
        settings=("SqlConnectionString",),
    ),
    Template(
        name="kafka",
        summary="Kafka trigger (locally by `azemu invoke`)",
        function="read_kafka",
        names=("Kafka trigger", "KafkaTrigger"),
        settings=("KafkaBrokers",),
    ),
    Template(
        name="warmup",
        summary="warmup trigger: load ahead on a new worker",
        function="load_ahead",
        names=("Warmup trigger", "WarmupTrigger"),
    ),
    Template(
        name="durable",
        summary="durable: an orchestration that calls activities one after the other (chaining)",
        function="greetings",
        names=("chaining", "function chaining", "Durable Functions orchestration"),
    ),
    Template(
        name="fan-out",
        summary="durable: run activities at the same time, and combine their results (fan-out, fan-in)",
        function="word_count",
        names=("fan-out fan-in", "fan-in"),
    ),
    Template(
        name="async-http",
        summary="durable: start long work over HTTP, and show its progress",
        function="export",
        names=("async HTTP API",),
    ),
    Template(
        name="monitor",
        summary="durable: look for something again and again, with a limit",
        function="watch",
    ),
    Template(
        name="approval",
        summary="durable: wait for a person, and escalate (human interaction)",
        function="approval",
        names=("human interaction",),
    ),
    Template(
        name="entity",
        summary="durable: keep a state for each key (aggregator)",
        function="counter",
        names=("Durable Functions entity", "Durable Functions Entity Trigger", "EntityTrigger", "aggregator"),
    ),
    Template(
        name="sub-orchestration",
        summary="durable: an orchestration that runs others",
        function="rollout",
        names=("sub-orchestrations",),
    ),
    Template(
        name="saga",
        summary="durable: do all steps or none (compensation)",
        function="trip",
        names=("compensation",),
    ),
    Template(
        name="orchestrator",
        summary="durable: only an orchestrator",
        function="orchestrate",
        makes_app=False,
        names=("Durable Functions orchestrator", "Durable Functions Orchestration Trigger", "OrchestrationTrigger"),
    ),
    Template(
        name="activity",
        summary="durable: only an activity",
        function="act",
        makes_app=False,
        names=("Durable Functions activity", "Durable Functions Activity Trigger", "ActivityTrigger"),
    ),
    Template(
        name="durable-start",
        summary="durable: only an HTTP trigger that starts orchestrations",
        function="start_any",
        makes_app=False,
        names=("Durable Functions HTTP starter", "Durable Functions HTTP trigger"),
    ),
    Template(
        name="empty",
        summary="no function",
        function=None,
    ),
)


def app_templates() -> list[Template]:
    """Return the templates of `azemu init`."""
    return [template for template in TEMPLATES if template.makes_app]


def function_templates() -> list[Template]:
    """Return the templates of `azemu new`."""
    return [template for template in TEMPLATES if template.function is not None]


def find_template(name: str, templates: list[Template]) -> Template:
    """Return the template with a name of azemu or Core Tools; case, spaces, dashes and underscores are ignored.

    Raises ConfigurationError.
    """
    by_name = {_plain(word): template for template in templates for word in (template.name, *template.names)}
    if (found := by_name.get(_plain(name))) is not None:
        return found
    # Other names of a template count, too, but the suggestion is its own name.
    near = difflib.get_close_matches(_plain(name), by_name, n=1, cutoff=0.7)
    suggestion = f" Did you mean '{by_name[near[0]].name}'?" if near else ""
    known = ", ".join(template.name for template in templates)
    raise ConfigurationError(f"There is no template '{name}'.{suggestion} The templates are: {known}.")


def list_of_templates(templates: list[Template]) -> str:
    """Return the templates with their summaries, one in a line, indented."""
    width = max(len(template.name) for template in templates)
    return "\n".join(f"  {template.name:{width}}  {template.summary}" for template in templates)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()
