"""Warning about a function whose blob output starts it again, and so without end."""

from __future__ import annotations

from collections.abc import Callable

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.extensions.blobs.blob_functions import BLOB
from emulator.extensions.blobs.trigger_path import TriggerPath
from emulator.host.bindings import connection_of, resolve_settings
from emulator.host.expressions import BindingData, Expression, Template, parse_template
from emulator.host.port import Function
from emulator.ids import NewId
from emulator.worker.port import Binding, member_of


def looping_output(
    function: Function, path: TriggerPath, *, expand: Callable[[str], str], clock: Clock, new_id: NewId
) -> Binding | None:
    """Return an output that writes where the function's own trigger looks, if it is certain from their paths.

    A typical name is taken for each capture: a blob `images/a` is written to `images/small/a`, which `images/{name}`
    matches. An output whose path depends on other things than the captures is not judged. `expand`: resolves settings.
    """
    outputs = (
        binding for binding in function.metadata.bindings if binding.direction == "out" and binding.type.lower() == BLOB
    )
    for output in outputs:
        try:
            resolved = resolve_settings(output, expand)
            if connection_of(resolved) != connection_of(function.trigger):
                continue
            written = parse_template(str(member_of(resolved.properties, "path") or "")).render(
                _sample(function.name, path, clock, new_id)
            )
        except EmulatorError:
            continue  # The output's own check, or its first use, reports a wrong path.
        container, _, blob = written.partition("/")
        if container == path.container and path.match(blob) is not None:
            return output
    return None


def _sample(function: str, path: TriggerPath, clock: Clock, new_id: NewId) -> BindingData:
    """Return the binding data of a blob whose name the path matches."""
    captures = dict.fromkeys(path.captures, "a")
    parts = (path.pattern or Template(("a",))).parts
    name = "".join("a" if isinstance(part, Expression) else part for part in parts)
    return BindingData(
        {**captures, "BlobTrigger": f"{path.container}/{name}"}, None, function=function, clock=clock, new_id=new_id
    )
