"""Texts of the explanations: a sentence and advice for each cause, and lines for the further facts.

A sentence continues "Instance "order-1" …". `{…}` names a value of the finding; `Values` words those that are not text.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from emulator.diagnosis.finding import Cause, Finding, Note, Severity
from emulator.instant import Instant


@dataclass(frozen=True, slots=True)
class Text:
    """Text of a cause. `sentence`, `advice`: formats with the values of `worded`. `meaning`: for the documentation."""

    severity: Severity
    meaning: str
    sentence: str
    advice: str = ""


_P, _W, _R, _E = Severity.PROBLEM, Severity.WAITING, Severity.WORKING, Severity.ENDED

TEXTS: Mapping[Cause, Text] = {
    Cause.EVENT_NOT_RAISED: Text(
        _W,
        "The code waits for an external event that was never raised.",
        "waits for {event}{at_line}, which was never raised",
        "Raise it: {raise_command}",
    ),
    Cause.EVENT_OTHER_NAME: Text(
        _P,
        "An event with a similar name was raised. The Python SDK compares names exactly, letter case included.",
        'waits for the event "{name}"{at_line}, but the event was raised as "{raised}" at {at}',
        'Correct the sender, or the name in the code, and raise it again under the name "{name}": {raise_command}',
    ),
    Cause.TIMER: Text(_W, "A durable timer is not due yet.", "waits for a timer{at_line} that is due {in_due} ({due})"),
    Cause.SCHEDULED_START: Text(
        _W, "The instance was scheduled to start at a later time.", "is scheduled to start {in_due} ({due})"
    ),
    Cause.RETRY_PAUSE: Text(
        _W,
        "A call with a retry policy has failed; the next attempt comes after a pause.",
        'waits to try "{name}"{at_line} again: attempt {attempt} of {of} begins {in_due} ({due})',
    ),
    Cause.HTTP_POLL: Text(
        _W,
        "call_http got the status 202 and polls until the other side has finished.",
        "waits for the end of {uri}{at_line}, which has answered 202; the next poll is {in_due} ({due})",
        "Check why the called service does not finish.",
    ),
    Cause.LOOP: Text(
        _W,
        "An orchestration of the kind that never ends: it continues as new again and again.",
        "runs as a loop with continue_as_new ({count} times since this host started, the last one {period} after the "
        "one before)",
        "If it should end, let its code return without continue_as_new, or terminate it.",
    ),
    Cause.SUSPENDED: Text(
        _W,
        "The instance was suspended.",
        "is suspended since {since} (reason: {reason})",
        "Resume it: azemu durable resume {id}",
    ),
    Cause.SUB_ORCHESTRATION: Text(
        _W, "A sub-orchestration has not ended.", 'waits for the sub-orchestration {name} "{id}"{at_line}'
    ),
    Cause.ALL_OF: Text(
        _W, "A task_all is not complete.", "waits for all of {total} tasks{at_line}; {done} of {total} have ended"
    ),
    Cause.ANY_OF: Text(_W, "No task of a task_any has ended.", "waits for the first of {total} tasks{at_line}"),
    Cause.SEVERAL: Text(
        _W,
        "Several operations are open; without a running host it is unknown how the code combines them.",
        "waits for {count} operations, or some of them",
    ),
    Cause.UNKNOWN_WAIT: Text(_W, "The wait could not be named.", "waits for something that cannot be named: {why}"),
    Cause.ENTITY_LOCKED: Text(
        _P,
        "Another orchestration holds the lock of the entity.",
        'waits for the entity {entity}{at_line}, whose lock the instance "{holder}" holds',
        "Let that instance end its critical section: see what it waits for.",
    ),
    Cause.ENTITY_QUEUED: Text(
        _R,
        "The entity has other operations to process first.",
        "waits for the entity {entity}{at_line}: {ahead_operations} before its call of {operation}",
    ),
    Cause.ACTIVITY_RUNS: Text(
        _R,
        "A host runs the activity.",
        'waits for the activity "{name}"{at_line}, which runs for {for_since} on {host}',
    ),
    Cause.HTTP_RUNS: Text(
        _R,
        "A request of call_http has no response yet.",
        "waits for the response of call_http{at_line}; the request runs for {for_since} on {host}",
        "Check the called service.",
    ),
    Cause.ENTITY_RUNS: Text(
        _R, "The entity runs an operation.", "waits for the entity {entity}{at_line}, which runs for {for_since}"
    ),
    Cause.RECEIVED: Text(
        _R,
        "This host has received the message and is about to process it.",
        "is about to continue: this host has received its message from {queue}",
    ),
    Cause.QUEUED: Text(
        _R,
        "The message waits in its control queue for a moment.",
        "has a message in {queue} that will be processed next; {ahead_messages} before it",
    ),
    Cause.ACTIVITY_QUEUED: Text(
        _R,
        "The activity waits in the queue for a host.",
        'waits for the activity "{name}"{at_line}, which waits in {queue}; {ahead_messages} before it',
    ),
    Cause.HIDDEN: Text(
        _R,
        "The message is hidden: a host has it, or a host had it when it was killed, or it is retried later.",
        "waits for {what}{at_line}, which is hidden{until_text}{count_text}: a host runs it, or it is retried after a "
        "failure",
        "If the host that had it was killed, it becomes visible again when its lock ends, after five minutes at most.",
    ),
    Cause.ORCHESTRATOR_SLOTS: Text(
        _P,
        "As many functions run in this host as host.json allows (maxConcurrentOrchestratorFunctions).",
        "waits for a free slot: all {kind} slots of this host ({limit}) are in use, by {running}",
        "See why those do not return, or increase maxConcurrent{kind_title}Functions in host.json.",
    ),
    Cause.ACTIVITY_SLOTS: Text(
        _P,
        "As many activities run in this host as host.json allows (maxConcurrentActivityFunctions).",
        'waits for the activity "{name}"{at_line}, which waits in {queue} behind {ahead} others: all activity slots '
        "of this host ({limit}) are in use, by {running}",
        "See why those take long, or increase maxConcurrentActivityFunctions in host.json.",
    ),
    Cause.NO_HOST: Text(
        _P,
        "No host works on the task hub.",
        'has work to do, but no host runs on the task hub "{hub}"',
        "Start one: azemu start",
    ),
    Cause.NO_OWNER: Text(
        _P,
        "A control queue is read by no host, although others are.",
        "has work to do, but no host owns its control queue {queue}",
        "A running host ({hosts}) takes it within ten seconds. If it does not, compare partitionCount in host.json "
        "with the number of control queues, and see the log of that host.",
    ),
    Cause.OWNER_DEAD: Text(
        _P,
        "The host that owned the control queue has been killed, or hangs.",
        "has work to do, but {owner}, the owner of its control queue {queue}, has not renewed its lease since {at}",
        "A running host ({hosts}) takes the queue within ten seconds of that time. If it does not, see its log.",
    ),
    Cause.OTHER_HOST: Text(
        _P,
        "Another host reads the control queue of the instance, perhaps with another app or version.",
        "has a message that {owner} should process, the owner of its control queue {queue}",
        "See the log of that host. If it runs another app, give each app a hub name of its own: "
        "extensions.durableTask.hubName in host.json.",
    ),
    Cause.APP_BROKEN: Text(
        _P,
        "The app, or a part of it, could not be loaded.",
        "cannot run, because the app could not be loaded: {reason}",
        "Correct the error; the host loads the app again when a file is saved.",
    ),
    Cause.EPISODE_FAILS: Text(
        _P,
        "The orchestrator function could not be run, or its result not be stored; it is retried.",
        "cannot run {name}: {attempts_failed}, the next one is {in_retry}. Last error: {reason}",
        "Correct the error; nothing is lost meanwhile.",
    ),
    Cause.ACTIVITY_FAILS: Text(
        _P,
        "The activity could not be run, which is not a failure of its code; it is retried.",
        'waits for the activity "{name}"{at_line}, which cannot run: attempt {next_attempt} is {in_retry}. '
        "Last error: {reason}",
        "Correct the error; nothing is lost meanwhile.",
    ),
    Cause.ENTITY_FAILS: Text(
        _P,
        "The entity function could not be run; it is retried.",
        "waits for the entity {entity}{at_line}, which cannot run: {attempts_failed}, the next one is "
        "{in_retry}. Last error: {reason}",
        "Correct the error; nothing is lost meanwhile.",
    ),
    Cause.BLOCKED: Text(
        _P,
        "The orchestrator function does not return: it loops, sleeps or calls something slow.",
        "does not progress, because the code of {name} runs for {for_since} and does not reach a yield",
        "Move slow calls into activities, and wait with context.create_timer instead of sleep.",
    ),
    Cause.POISON: Text(
        _P,
        "A message was received ten times or more and never processed.",
        "has a poison message: {id} in {queue} was received {times} without success{until_text}",
        "The log of the host has the error. The message is retried every ten minutes; delete it if it cannot succeed.",
    ),
    Cause.UNREADABLE_MESSAGE: Text(
        _P,
        "The expected message is missing, and its queue has one that cannot be read.",
        "misses a message, and {queue} has one that cannot be read ({id}, received {times}): {problem}",
        "It stays in the queue, for a version that can read it. Delete it if there is none, and restart the instance.",
    ),
    Cause.UNREADABLE_HISTORY: Text(
        _P,
        "The stored history is damaged.",
        "cannot run, because its history cannot be read: {reason}",
        "Restore the row or blob, or purge the instance and start it again.",
    ),
    Cause.LOST: Text(
        _P,
        "A message is in no queue, so nothing will continue the instance.",
        "waits for a message that is in no queue: {what} is lost{at_line}",
        "{repair}",
    ),
    Cause.CODE_CHANGED: Text(
        _P,
        "The code cannot be replayed on the stored history.",
        "has code that cannot be replayed on its history: {problem}",
        "Restore the code that began this instance, or terminate it and start it again.",
    ),
    Cause.STORAGE_UNREACHABLE: Text(
        _P,
        "The storage does not answer.",
        "cannot be read, because the storage does not answer: {reason}",
        "Check that the storage runs and that the connection setting is right.",
    ),
    Cause.UNKNOWN_ORCHESTRATOR: Text(
        _E,
        "The instance failed, because its orchestrator function was missing.",
        "failed, because the app had no {kind} function {name}",
        "Correct the name, and start the instance again.",
    ),
    Cause.UNKNOWN_ACTIVITY: Text(
        _E,
        "The instance failed, because a function that it called was missing.",
        "failed, because the app had no {kind} function {name}",
        "Correct the name, and rewind or restart the instance.",
    ),
    Cause.SWITCHED_OFF: Text(
        _E,
        "The instance failed, because the function is disabled or was not selected (--functions).",
        "failed, because the {kind} function {name} does not run: {why}",
        "Switch the function on, and rewind or restart the instance.",
    ),
    Cause.NON_DETERMINISTIC: Text(
        _E,
        "The instance failed, because its code decided differently than before.",
        "failed at {at}, because its code does not follow its history: {reason}",
        "Orchestrators must be deterministic. If the code was changed, restart the instance.",
    ),
    Cause.COMPLETED: Text(_E, "The instance has completed.", "completed at {at}"),
    Cause.FAILED: Text(
        _E, "The instance has failed.", "failed at {at}: {reason}", "Correct the cause, and rewind or restart it."
    ),
    Cause.TERMINATED: Text(_E, "The instance was terminated.", "was terminated at {at} (reason: {reason})"),
    Cause.NOT_FOUND: Text(
        _E,
        "There is no such instance.",
        'does not exist in the task hub "{hub}"{similar_text}',
        "Check the id and the hub.",
    ),
}

NOTES: Mapping[str, str] = {
    "message": "The message {kind} is in {queue} since {since}.",
    "queued": 'The activity "{name}" waits in {queue}; {ahead_messages} before it.',
    "locked": "A host had received {what}{until_text}.",
    "no-host": 'At present no host runs on the task hub "{hub}".',
    "last-host": "The last host was {hosts}; its leases ended at {at}.",
    "other-app": 'This host is {own}. Both work on the task hub "{hub}".',
    "other-hosts": "Other hosts on this task hub: {hosts}.",
    "at": "It is at {place}",
    "attempt": "It is attempt {attempt} of {of}.",
    "failure": "The last attempt failed: {reason}",
    "arrived-events": "Other events have arrived: {names}.",
    "no-position": "The line of code is not known: {no_position}.",
    "exists-now": "The app has a function {name} now.",
    "known-functions": "The app's {kind} functions are: {names}.",
    "more-messages": "Of {queue}, only {shown} of {count} messages were read.",
}


def severity_of(finding: Finding) -> Severity:
    """Return how urgent a finding is: as the most urgent cause of its parts."""
    own = TEXTS[finding.cause].severity
    parts = finding.parts
    if finding.cause is Cause.ANY_OF:
        # One task of a task_any is enough, so the others may well have problems. But somebody meant to end it with an
        # event that was raised under a wrong name.
        parts = [part for part in parts if part.cause is Cause.EVENT_OTHER_NAME]
    return min([own, *map(severity_of, parts)])


def sentence_of(finding: Finding) -> str:
    """Return what continues "Instance … ", without a full stop; of a chain of instances, with the deepest cause."""
    text = TEXTS[finding.cause].sentence.format_map(_worded(finding.values, finding))
    if finding.parts and finding.cause in (Cause.SUB_ORCHESTRATION, Cause.ENTITY_LOCKED):
        return f"{text}, which {sentence_of(finding.parts[0])}"
    if finding.cause is Cause.ANY_OF and severity_of(finding) is Severity.PROBLEM:
        other = next(part for part in finding.parts if part.cause is Cause.EVENT_OTHER_NAME)
        return f"{text}; it {sentence_of(other)}"
    if finding.parts and finding.cause is Cause.LOOP:
        return f"{text}; now it {sentence_of(finding.parts[0])}"
    return text


def advice_of(finding: Finding) -> Sequence[str]:
    """Return what to do, once for each cause; the deepest cause first."""
    lines = [line for part in finding.parts for line in advice_of(part)]
    advice = TEXTS[finding.cause].advice
    if advice:
        lines.append(advice.format_map(_worded(finding.values, finding)))
    return list(dict.fromkeys(lines))


def facts_of(finding: Finding) -> Sequence[str]:
    """Return lines with further facts, those of the parts included."""
    lines = [note_text(note, finding) for note in finding.notes]
    for part in finding.parts:
        # The sentence has these already.
        is_named = sentence_of(finding).endswith(sentence_of(part))
        if not is_named and finding.cause not in (Cause.SUB_ORCHESTRATION, Cause.ENTITY_LOCKED, Cause.LOOP):
            lines.append(f"It {sentence_of(part)}.")
        lines += facts_of(part)
    return list(dict.fromkeys(lines))


def note_text(note: Note, finding: Finding) -> str:
    """Return the line of a note."""
    return NOTES[note.key].format_map(_worded(note.values, finding))


def span_text(span: timedelta) -> str:
    """Return a duration in its two largest units, such as "2 h 5 min", "12 s" or "0.4 s"."""
    seconds = span.total_seconds()
    if seconds < 10:
        return f"{max(seconds, 0):.1f}".removesuffix(".0") + " s"
    left, parts = round(seconds), list[str]()
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2])


def time_text(instant: Instant) -> str:
    """Return a time in UTC with whole seconds, such as "2026-03-04 12:00:00 UTC"."""
    return f"{instant.text[:10]} {instant.text[11:19]} UTC"


def _worded(values: Mapping[str, object], finding: Finding) -> Mapping[str, str]:
    """Return the values as texts, and the phrases that are made of several values."""
    now, name = values.get("now"), values.get("name")
    # A format may use any phrase, so all are made. Most values are missing for most causes.
    words = {key: _word(value) for key, value in values.items()}
    words["ahead_messages"] = _counted(values.get("ahead"), "message is", "messages are")
    words["ahead_operations"] = _counted(values.get("ahead"), "operation is", "operations are")
    words["attempts_failed"] = _counted(values.get("attempts"), "attempt has failed", "attempts have failed")
    words["times"] = _counted(values.get("count"), "time", "times")
    words["at_line"] = f" at {finding.place}" if finding.place else ""
    words["event"] = "an external event" if name is None else f'the event "{name}"'
    event = "EVENT" if name is None else shlex.quote(words["name"])
    words["raise_command"] = f"azemu durable raise {shlex.quote(words.get('id', ''))} {event} [DATA]"
    words["next_attempt"] = str(int(str(values.get("attempts") or 0)) + 1)
    words["kind_title"] = str(values.get("kind") or "").title()
    words["until_text"] = f" until {words['until']}" if values.get("until") else ""
    words["count_text"] = f", received {words['times']}" if values.get("count") else ""
    words["similar_text"] = f"; similar ones are {words['similar']}" if values.get("similar") else ""
    words["no_position"] = str(values.get("problem") or "it needs a running host of this app")
    words["repair"] = (
        "The host sends it again within a minute, because the storage is an emulator that may lose its last writes."
        if values.get("repaired")
        else "Nothing will continue the instance. Rewind cannot help; restart it: azemu durable restart INSTANCE"
    )
    if isinstance(now, Instant):
        for key in ("due", "retry"):
            moment = values.get(key)
            if isinstance(moment, Instant):
                words[f"in_{key}"] = f"in {span_text(moment - now)}" if moment > now else "now"
        since = values.get("since")
        if isinstance(since, Instant):
            words["for_since"] = span_text(now - since)
    return words


def _counted(number: object, one: str, several: str) -> str:
    return f"no {one}" if number == 0 else f"{number} {one if number == 1 else several}"


def _word(value: object) -> str:
    match value:
        case None:
            return "an unknown time"
        case Instant():
            return time_text(value)
        case timedelta():
            return span_text(value)
        case str():
            return value
        case Sequence():
            return ", ".join(map(str, value)) or "none"
        case _:
            return str(value)
