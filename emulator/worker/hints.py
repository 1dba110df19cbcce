"""Advice for frequent mistakes, found by the texts of their errors: what to write instead.

The texts of azure-functions, its durable SDK and the official worker name what failed, but often not the cause. Advice
is shown behind them, in the log only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from emulator.worker.port import Binding

_JSON_TYPES = "str, int, float, bool, None, list or dict"

# Each pattern is searched in the error's text; \1 in the advice is its first group. The first match counts.
_ADVICE = tuple(
    (re.compile(pattern), advice)
    for pattern, advice in (
        # Loading.
        (
            r"declared in Python but not in function\.json",
            "Each parameter needs a binding of its name: in the decorator trigger_arg_name, arg_name, input_name, "
            'context_name or client_name; in a function.json "name". Parameters with defaults, *args and **kwargs '
            "count, too.",
        ),
        (
            r"declared in function\.json but not in Python: (\{.*\})",
            r"The function lacks the parameter \1, or the decorator names it wrongly. The parameter of an HTTP trigger "
            "is called req unless trigger_arg_name names another one.",
        ),
        (
            r'"context" parameter is expected to be of type azure\.functions\.Context',
            'Orchestrators and entities need context_name="context" in their decorator. In a function.json: "name": '
            '"context". In other functions, the parameter context is the invocation\'s func.Context.',
        ),
        (
            r'binding (\w+) is declared to have the "out" direction',
            r"Annotate the parameter as func.Out, for example \1: func.Out[str], and set it with \1.set(value).",
        ),
        (
            r"FunctionBuilder object at \w+> is not a module, class, method, or function",
            "The script uses the decorators of the v2 programming model, but its folder has a function.json of the v1 "
            "model. Remove the app and its decorators from the script, or move the function into a function_app.py in "
            "the app's folder and delete the function.json.",
        ),
        (
            r"Could not find top level function app instances",
            "The file must create the app at module level: app = func.FunctionApp() or app = df.DFApp(). An app that "
            "only a function creates, or a Blueprint alone, is not found.",
        ),
        (
            r"More than one .* top level function app instances",
            "Keep one app. Declare other parts with func.Blueprint(), and add them with app.register_functions(…).",
        ),
        (
            r"Invalid file name: ",
            "PYTHON_SCRIPT_FILE_NAME must be the name of a file in the app's folder, without folders: letters, digits, "
            "'_' and '-', then .py.",
        ),
        (r"Function (\S+) does not have a trigger", r"Add a trigger decorator to \1, such as @app.route(route=…)."),
        (
            r"A trigger was already registered to this function",
            "Write a function for each trigger, and let both call the same code.",
        ),
        (
            r"attempted relative import",
            "The app's folder is not a package: import from its modules and folders by their names, without leading "
            "dots (from shared import thing).",
        ),
        (
            r"partially initialized module",
            "The modules import each other. Move what both need into a third module, or import it inside a function.",
        ),
        (
            r"source code string cannot contain null bytes",
            "The file is not UTF-8 text; UTF-16 has null bytes. Save it as UTF-8.",
        ),
        (
            r"'(?:FunctionApp|Blueprint)' object has no attribute '(?:orchestration|activity|entity|durable)_\w+'",
            "Durable functions need df.DFApp() or df.Blueprint() of azure.durable_functions.",
        ),
        (
            r"'azure\.durable_functions' has no attribute '(DFApp|Blueprint)'",
            r"The installed azure-functions-durable is too old for df.\1: DFApp needs 1.2.0, Blueprint 1.2.5. Require "
            "azure-functions-durable>=1.2.5,<2 in requirements.txt, and install it.",
        ),
        # HTTP functions.
        (
            r'HttpResponseConverter\'>" for Python type "NoneType"',
            "The function returned nothing. Return a string or func.HttpResponse(…).",
        ),
        (
            r'for Python type "coroutine"',
            "The function returned a coroutine: write await in front of the call, in an async def function.",
        ),
        (
            r'HttpResponseConverter\'>" for Python type "(\w+)"',
            r"The function returned a value of the type \1. Return a string or func.HttpResponse(body, status_code=…); "
            'for JSON: func.HttpResponse(json.dumps(value), mimetype="application/json").',
        ),
        (
            r'unable to encode outgoing TypedData: .* for Python type "\w*InputStream"',
            "To write the content of a blob or file that was read: set value.read(), or annotate the output as "
            "func.Out[func.InputStream].",
        ),
        (
            r'unable to encode outgoing TypedData: .* for Python type "(\w+)"',
            r"The result, or the value of an output, is of the type \1 or contains a value that its binding does not "
            "accept. Set a string; for JSON: json.dumps(value).",
        ),
        (r"response is expected to be either of str, bytes, or bytearray", "For JSON, pass json.dumps(value)."),
        # Queue functions. The first pattern ends with the last of the formats that azure-functions tries.
        (
            r"time data '.*' does not match format '%m/%d/%Y %H:%M:%S\.%f-00:00'|field '\w+' in trigger metadata",
            "If this is a JSON message: its members expirationTime, insertionTime, nextVisibleTime and dequeueCount "
            "replace the values of the queue, here and on Azure, and azure-functions cannot read them. Rename the "
            "member, or annotate the parameter with str to get the text alone.",
        ),
        # Clients of an Azure SDK that the app creates itself.
        (
            r"Connection string is either blank or malformed|Connection string missing required connection details",
            "Clients of an Azure SDK need a storage server, which --storage builtin is not: start without it, on "
            "Azurite. With Azurite, the setting that the code reads is empty or not a connection string.",
        ),
        # Durable functions.
        (
            r"not coroutine|a coroutine was expected|'coroutine' object",
            "The methods of the durable client are coroutines: write await client.start_new(…), in an async function.",
        ),
        (
            r"'(\w+)' object has no attribute '_is_scheduled'",
            r"The orchestrator yielded a value of the type \1, which is not a task. To wait for several tasks: "
            "yield context.task_all([…]).",
        ),
        (
            r"Object of type \w*Task is not JSON serializable",
            "The orchestrator returned a task. Yield it first: return (yield context.call_activity(…)).",
        ),
        (
            r"Object of type (?:coroutine|async_generator) is not JSON serializable",
            "An orchestrator is a plain function: def instead of async def, yield instead of await.",
        ),
        (
            r"class <class '([\w.]+)'> does not expose a `to_json` function",
            rf"Values between durable functions are JSON: {_JSON_TYPES}. Convert the value of the type \1, or give its "
            "class the static methods to_json and from_json.",
        ),
        (
            r"Object of type (\w+) is not JSON serializable|trigger output must be json serializable",
            f"The result must be JSON: {_JSON_TYPES}, or an object of a class with the static methods to_json and "
            "from_json.",
        ),
        (
            r"can't compare offset-naive and offset-aware|not supported between instances of '\w+' and "
            r"'datetime\.datetime'",
            "Timers take a time with a time zone: context.create_timer(context.current_utc_datetime + "
            "timedelta(seconds=…)).",
        ),
        (
            r"'str' object has no attribute 'name'",
            'If this was meant for an entity: pass its id as df.EntityId("name", "key").',
        ),
    )
)


def advice_for(text: str) -> str | None:
    """Return advice for an error's text, or None."""
    for pattern, advice in _ADVICE:
        if match := pattern.search(text):
            # Not match.expand: an optional group that did not take part would be an error there.
            return advice.replace(r"\1", match[1] or "") if match.re.groups else advice
    return None


def advice_on_undeclared(
    parameter: str, annotation: Any, bindings: Sequence[Binding], unbound: Sequence[str]
) -> str | None:
    """Return what to do about a parameter without a binding, beyond `advice_for`; None: nothing.

    `unbound`: the names of the bindings without a parameter.
    """
    captures = (
        (trigger, member, text)
        for trigger in bindings
        if trigger.is_trigger
        for member, text in trigger.properties.items()
        if isinstance(text, str) and re.search(rf"\{{{re.escape(parameter)}[}}:?=]", text, re.IGNORECASE)
    )
    for trigger, member, text in captures:
        advice = (
            f"'{{{parameter}}}' in the {member} '{text}' is a value for expressions of other bindings, such as "
            f'path="out/{{{parameter}}}" of a blob output. '
            f"It is not a parameter of the function: remove '{parameter}'."
        )
        match trigger.type.lower():
            case "blobtrigger":
                # What the user sees in blob.name: container and name, with an example for each expression.
                example = re.sub(r"\{[^{}]*\}", "report.pdf" if text.endswith("}") else "report", text)
                advice += f' The blob\'s name is in {trigger.name}.name, for example "{example}".'
            case "httptrigger":
                advice += f' Its value is in {trigger.name}.route_params["{parameter}"].'
        return advice
    if getattr(annotation, "__name__", "") == "Context":
        return f"The parameter of type Context must have the name 'context' instead of '{parameter}'."
    if unbound:
        names = " or ".join(f"'{name}'" for name in unbound)
        return f"No binding has the name '{parameter}', and no parameter has the name {names}. Give both the same name."
    return None
