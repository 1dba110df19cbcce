"""Input bindings of type blob. Source: docs/protocol/functions-host.md 8.4."""

from __future__ import annotations

from emulator.extensions.blobs.binding_paths import check_path, parse_blob_path
from emulator.extensions.blobs.blob_content import content_form, read_content
from emulator.extensions.blobs.sdk_references import check_sdk_client, client_reference
from emulator.host.bindings import connection_of
from emulator.host.context import ExtensionContext
from emulator.host.port import BindingContext, Function, Input
from emulator.storage.port import NotFound
from emulator.worker.port import Binding, Datum, member_of


def blob_input(context: ExtensionContext) -> Input:
    """Return the input binding: the content of a blob, or None if there is no such blob or container."""

    async def read(invocation: BindingContext) -> Datum | None:
        binding, function = invocation.binding, invocation.function
        path = parse_blob_path(str(member_of(invocation.properties, "path") or ""))
        if binding.name in function.metadata.sdk_types:
            return client_reference(binding, context.settings, container=path.container, blob=path.blob)
        blob = path.require_blob()
        container = context.accounts(connection_of(binding)).container(path.container)
        try:
            return await read_content(container, blob, content_form(function, binding), context.clock)
        except NotFound:
            return None

    def validate(function: Function, binding: Binding) -> None:
        check_path(binding)
        if binding.takes_sdk_type:
            check_sdk_client(binding, context.settings)

    return Input(read=read, validate=validate, gives_sdk_types=True, required_members=["path"])
