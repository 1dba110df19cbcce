"""What an activity function is given, what it returns, and how its failure is recorded.

Source: durable-extension, Listener/TaskActivityShim.cs, Bindings/ActivityTriggerAttributeBindingProvider.cs.
"""

from __future__ import annotations

import json

from emulator.dotnet.json_writer import json_text, newtonsoft_text
from emulator.durable.executor import ActivityFailed
from emulator.worker.port import Datum, FunctionFailed

_HRESULT = -2146233088  # COR_E_EXCEPTION


class UnreadableInput(Exception):
    """The work item's input is not a JSON array of one element."""


def trigger_value(input_text: str | None) -> str:
    """The trigger's value. `input_text`: a JSON array of one element, in which Python orchestrators put JSON text.

    Raises UnreadableInput.
    """
    try:
        arguments = json.loads(input_text or "[null]")
        [argument] = arguments if isinstance(arguments, list) else []
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(
            f"The input of an activity must be a JSON array of one element, not {(input_text or '')[:200]}"
        ) from error
    if isinstance(argument, str):
        return argument
    if isinstance(argument, bool):
        return str(argument)  # as .NET writes a Boolean
    return newtonsoft_text(argument, keep_surrogates=True)


def result_of(returned: Datum | None) -> str | None:
    """The result to record: compact JSON, None for nothing."""
    if returned is None:
        return None
    try:
        value = json.loads(returned.value)
    except (ValueError, TypeError, RecursionError):
        value = returned.value if isinstance(returned.value, str) else str(returned.value)
    return None if value is None else newtonsoft_text(value, keep_surrogates=True)


def failure_of(name: str, failure: FunctionFailed) -> ActivityFailed:
    """`name` failed in user code. The reason has two blanks because the extension cuts the worker's text there."""
    message = f" {failure.type_name}: {failure.text}"
    return ActivityFailed(f"Activity function '{name}' failed: {message}", _exception_json(message, failure))


def failure_without_details(name: str, reason: str) -> ActivityFailed:
    """`name` failed outside of user code."""
    message = f"Activity function '{name}' failed: {reason}"
    return ActivityFailed(message, _exception_json(reason, None))


def _exception_json(message: str, failure: FunctionFailed | None) -> str:
    """A serialized System.Exception: one line, since user code in the wild splits the text at line breaks."""
    return json_text(
        {
            "$type": "System.Exception, System.Private.CoreLib",
            "ClassName": "System.Exception",
            "Message": message,
            "Data": None,
            "InnerException": None if failure is None else _rpc_exception(failure),
            "HelpURL": None,
            "StackTraceString": None,
            "RemoteStackTraceString": None,
            "RemoteStackIndex": 0,
            "ExceptionMethod": None,
            "HResult": _HRESULT,
            "Source": None,
            "WatsonBuckets": None,
        }
    )


def _rpc_exception(failure: FunctionFailed) -> dict[str, object]:
    """What the Functions host makes of a worker's failure; here is the Python traceback."""
    return {
        "$type": "Microsoft.Azure.WebJobs.Script.Workers.Rpc.RpcException, Microsoft.Azure.WebJobs.Script",
        "IsUserException": False,
        "RemoteStackTrace": failure.stack,
        "RemoteMessage": f"{failure.type_name}: {failure.text}",
        "RemoteTypeName": "",
        "Message": str(failure),
        "Data": {"$type": "System.Collections.ListDictionaryInternal, System.Private.CoreLib"},
        "InnerException": None,
        "HelpLink": None,
        "Source": "System.Private.CoreLib",
        "HResult": _HRESULT,
        "StackTrace": None,
    }
