"""Parameters of SDK types (deferred bindings) in an app whose other functions run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running_apps import HTTP_APP, run_app

# Its releases need a later azure-storage-blob than azemu does.
pytest.importorskip("azurefunctions.extensions.bindings.blob")

BLOB_TYPES = """
import typing
import azurefunctions.extensions.bindings.blob as blob

@app.route(route="hello")
def hello(req: func.HttpRequest):
    return "hello"

@app.blob_trigger(arg_name="client", path="input/{name}", connection="AzureWebJobsStorage")
def arrived(client: blob.BlobClient):
    pass

@app.route(route="size")
@app.blob_input(arg_name="content", path="input/b.txt", connection="AzureWebJobsStorage")
@app.blob_input(arg_name="container", path="input", connection="AzureWebJobsStorage")
def size(req: func.HttpRequest, container: blob.ContainerClient, content: bytes):
    pass

@app.blob_trigger(arg_name="stream", path="input/{name}", connection="AzureWebJobsStorage")
def classic(stream: func.InputStream):
    pass
"""


async def test_only_functions_with_sdk_types_are_in_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # On the built-in store, which no client of the SDK can reach.
    async with run_app(tmp_path, HTTP_APP, BLOB_TYPES) as site:
        assert (await site.get("/api/hello")).text == "hello"
        names = [function["name"] for function in (await site.get("/admin/functions")).json()]
        assert names == ["classic", "hello"]
        [error] = (await site.get("/admin/functions/size/status")).json()["errors"]
        invoked = await site.post("/admin/azemu/functions/size/invoke", "{}")
        assert (invoked.status, error in invoked.json()["error"]) == (404, True)
    assert error.startswith(
        "The parameter 'container' takes a client of the Azure SDK, which needs a storage server, but the connection "
        "'AzureWebJobsStorage' leads to azemu's built-in store, which has none. Use Azurite (azemu start --storage "
        "azurite)"
    )
    assert "The 'arrived' function is in error: The parameter 'client' " in caplog.text


async def test_an_sdk_type_of_another_binding_fails_the_app_as_on_azure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = """
    import azurefunctions.extensions.bindings.blob as blob

    @app.queue_trigger(arg_name="item", queue_name="q", connection="C")
    def consume(item: blob.BlobClient):
        pass
    """
    async with run_app(tmp_path, HTTP_APP, wrong) as site:
        assert (await site.get("/admin/host/status")).json()["state"] == "Running"
    assert "cannot load the consume function: 'item' binding type \"queueTrigger\" and dataType" in caplog.text


async def test_a_parameter_without_a_binding_may_have_the_type_of_a_service_client(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As ServiceBusMessageActions of azurefunctions-extensions-bindings-servicebus."""
    settlement = """
    from azurefunctions.extensions.base import GrpcClientType

    class MessageActions(GrpcClientType):
        pass

    @app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="C")
    def settle(msg: func.ServiceBusMessage, actions: MessageActions):
        pass

    @app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="C")
    def consume(msg: func.ServiceBusMessage):
        pass
    """
    async with run_app(tmp_path, HTTP_APP, settlement) as site:
        assert [function["name"] for function in (await site.get("/admin/functions")).json()] == ["consume"]
    assert "The 'settle' function is in error: The parameter 'actions' has the type MessageActions" in caplog.text
