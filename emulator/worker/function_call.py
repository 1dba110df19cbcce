"""Arguments and results of one function call: decoded inputs, `Out` parameters and the context; encoded outputs.

Source: docs/protocol/python-worker.md 6.1.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from emulator.logs import get_logger
from emulator.worker import values
from emulator.worker.context import Context
from emulator.worker.indexing import LoadedFunction
from emulator.worker.port import Datum, HttpStream, Invocation, Returned
from emulator.worker.signatures import CONTEXT
from emulator.worker.worker_extensions import WorkerExtensions

_log = get_logger(__name__)

# The library cannot encode None for a queue, so that a run without a message to send would fail for that reason only.
_NONE_IS_NOTHING = frozenset(("queue",))


class FunctionCall:
    """One call of a function. `arguments` are its keyword arguments.

    `local` becomes `context.thread_local_storage`; `extensions` is None if worker extensions are off. Creating it
    raises what the converters raise; TypeError if a converter cannot decode the value's type.
    """

    def __init__(
        self,
        function: LoadedFunction,
        invocation: Invocation,
        local: threading.local,
        extensions: WorkerExtensions | None,
    ) -> None:
        self._function = function
        self._extensions = extensions
        self._context = Context(invocation, name=function.metadata.name, directory=function.directory, local=local)
        self._outs = {name: values.Out[Any]() for name in function.outputs}
        self.arguments: dict[str, Any] = {
            name: self._decode(name, datum, invocation.trigger_metadata) for name, datum in invocation.inputs.items()
        }
        if function.takes_context:
            self.arguments[CONTEXT] = self._context
        self.arguments.update(self._outs)
        # Last: hooks see the complete arguments and may replace them.
        if extensions is not None:
            extensions.before_invocation(self._context, self.arguments)

    def _decode(self, name: str, datum: Datum | None, metadata: Mapping[str, Datum]) -> Any:
        bound = self._function.inputs[name]
        if datum is not None and datum.type == "model_binding_data":
            return self._function.sdk_clients.of(name, bound.converter, bound.python_type, datum.value)
        return values.decode(bound.converter, datum, metadata)

    @property
    def stream_parameter(self) -> str:
        """The name of the parameter whose value is an HttpStream. Only functions that stream HTTP have one."""
        return next(name for name, value in self.arguments.items() if isinstance(value, HttpStream))

    def returned(self, value: Any) -> Returned:
        """Encode the outputs and the return value of the function.

        Outputs come in the order of declaration, without those that are None. Raises what the converters raise;
        TypeError if a binding cannot carry a value, RuntimeError for a return value without a binding.
        """
        function = self._function
        if self._extensions is not None:
            self._extensions.after_invocation(self._context, self.arguments, value)
        if value is not None and function.returns is None:
            # The missing blank is in the official worker's text; users search the web for it.
            raise RuntimeError(
                f"function {function.metadata.name!r} without a $return bindingreturned a non-None value"
            )
        outputs: dict[str, Datum] = {}
        for name, bound in function.outputs.items():
            output = self._outs[name].get()
            # An output that was never set and one that was set to None are the same: nothing is written.
            encoded = None if output is None else values.encode(bound.converter, output, bound.python_type)
            if encoded is not None:
                outputs[name] = encoded
            elif output is not None:
                # The library's converter of Event Hubs, for example, drops a dict without an error.
                _log.warning(
                    "The output '%s' of function '%s' is lost, as on Azure: the library cannot write a value of type "
                    "%s to a binding of type %s. Write text, for example with json.dumps.",
                    name,
                    function.metadata.name,
                    type(output).__name__,
                    bound.converter,
                )
        if function.returns is None or (value is None and function.returns.converter in _NONE_IS_NOTHING):
            return Returned(None, outputs)
        # Unlike an output, a return value of None is encoded: some converters (activities) write it as JSON null.
        return Returned(values.encode(function.returns.converter, value, function.returns.python_type), outputs)
