"""Tests of the app with the plugin of azemu, run by the Python of each version set."""

import importlib.util

import pytest


async def test_http(azemu):
    answer = await azemu.get("/api/hello?name=Ada")
    assert (answer.status, answer.text) == (200, "hello Ada")


@pytest.mark.skipif(importlib.util.find_spec("azure.durable_functions") is None, reason="without durable functions")
def test_orchestration_with_entity(azemu):
    instance = azemu.client.start_new("flow", client_input={"names": ["Ada"]})
    assert azemu.wait(instance).output == {"greetings": ["hello Ada"], "count": 1}
