"""JSON of activity functions: the trigger's value, the result, and the failure that is recorded.

Source: durable-extension, Listener/TaskActivityShim.cs, Bindings/ActivityTriggerAttributeBindingProvider.cs.
"""

from __future__ import annotations

from emulator import bound_json as json
from emulator.dotnet.json_writer import json_text, newtonsoft_text
from emulator.durable.executor import ActivityFailed
from emulator.worker.port import Datum, FunctionFailed

_HRESULT = -2146233088  # COR_E_EXCEPTION


class UnreadableInput(Exception):
    """The work item's input is not a JSON array of one element."""


def trigger_value(input_text: str | None) -> str:
    """Return the trigger's value for a work item's input, which is a JSON array of one element.

    Python orchestrators put a JSON text into the array, .NET orchestrators the value itself. Raises UnreadableInput.
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
        return str(argument)  # .NET converts the value to text and writes True, not true.
    return newtonsoft_text(argument, keep_surrogates=True)


def result_of(returned: Datum | None) -> str | None:
    """Return the result to record, as compact JSON, or None."""
    if returned is None:
        return None
    try:
        value = json.loads(returned.value)
    except (ValueError, TypeError, RecursionError):
        # A function with another output converter than the library's. Its text is recorded as a JSON string.
        value = returned.value if isinstance(returned.value, str) else str(returned.value)
    return None if value is None else newtonsoft_text(value, keep_surrogates=True)


def failure_of(name: str, failure: FunctionFailed) -> ActivityFailed:
    """Return the failure to record when the function `name` raised an exception."""
    message = f"{failure.type_name}: {failure.text}"
    return ActivityFailed(f"Activity function '{name}' failed: {message}", _exception_json(message, failure))


def failure_without_details(name: str, reason: str) -> ActivityFailed:
    """Return the failure to record when the function `name` could not be called."""
    message = f"Activity function '{name}' failed: {reason}"
    return ActivityFailed(message, _exception_json(reason, None))


def _exception_json(message: str, failure: FunctionFailed | None) -> str:
    """Return a serialized System.Exception."""
    # The Functions host wraps the worker's failure in an RpcException, which has the Python traceback.
    inner = failure and {
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
    # Without line breaks: user code separates this text from the message at the first line break.
    return json_text(
        {
            "$type": "System.Exception, System.Private.CoreLib",
            "ClassName": "System.Exception",
            "Message": message,
            "Data": None,
            "InnerException": inner,
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
