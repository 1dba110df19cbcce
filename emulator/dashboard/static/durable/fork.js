// Dialogs for the history of an instance: fork it at an event; export it, replay it, make tests of it.

import { html, useEffect, useState } from "../html.js";
import { get, send } from "../api.js";
import { plural } from "../format.js";
import { Button, Message } from "../components/basics.js";
import { Dialog } from "../components/dialog.js";
import { attempt, toast } from "../components/toast.js";
import { setQuery } from "../router.js";
import { forkCommand, historyCommands } from "./commands.js";
import { Commands, JsonField } from "./dialogs.js";
import { decodedText, jsonProblem } from "./payloads.js";

// Decisions are made again, so only what an episode receives is a place for a fork.
const VALUES = {
  ExecutionStarted: "Input",
  EventRaised: "Input",
  TaskCompleted: "Result",
  TaskFailed: null,
  SubOrchestrationInstanceCompleted: "Result",
  SubOrchestrationInstanceFailed: null,
};
const OTHERS = ["OrchestratorStarted", "TimerFired", "ExecutionSuspended", "ExecutionResumed", "ExecutionTerminated", "GenericEvent"];

export const canFork = ({ type }) => type in VALUES || OTHERS.includes(type);

/** `event`: of the history. `onForked(id)`. */
export function ForkDialog({ instanceId, path, event, onForked, onClose }) {
  const hasValue = event.type in VALUES;
  const [recorded, setRecorded] = useState(hasValue ? null : "");
  const [value, setValue] = useState("");
  const [id, setId] = useState("");
  const [rerun, setRerun] = useState(false);
  const [withEvents, setWithEvents] = useState(false);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    const payload = VALUES[event.type] && event.payloads.find(({ name }) => name.toLowerCase() === VALUES[event.type].toLowerCase());
    if (!hasValue) return;
    (async () => {
      const isCut = payload && payload.length > payload.text.length;
      const loaded = isCut ? await attempt(() => get(`${path}/payload`, { index: event.index, name: payload.name })) : payload;
      const text = loaded ? decodedText(loaded.text) : "";
      setRecorded(text);
      setValue(text);
    })();
  }, [event]);
  const problem = hasValue ? jsonProblem(value) : null;
  const body = { at: event.index, rerun, withEvents };
  if (id.trim()) body.id = id.trim();
  if (hasValue && !problem && value.trim() && value !== recorded) body.eventInput = JSON.parse(value);
  const run = async () => {
    if (busy || problem || recorded === null) return;
    setBusy(true);
    const done = await attempt(() => send("POST", `${path}/forks`, body));
    setBusy(false);
    if (!done) return;
    const left = done.eventsLeftOut.length ? ` Not raised again: ${[...new Set(done.eventsLeftOut)].join(", ")}.` : "";
    toast(`Forked at event ${done.cut}.${left}`, "success");
    onForked(done.instanceId);
  };
  return html`<${Dialog}
    title=${`Fork at event ${event.index}: ${event.type}${event.subject ? ` ${event.subject}` : ""}`}
    wide
    onClose=${onClose}
    onSubmit=${run}
    actions=${html`<${Button} onClick=${onClose}>Cancel</${Button}>
      <${Button} kind="primary" busy=${busy} disabled=${Boolean(problem) || recorded === null} onClick=${run}>Fork</${Button}>`}
  >
    <p>
      A new instance gets the history before this episode, so its results are used again, and continues with the present code. This
      instance stays as it is.
    </p>
    ${hasValue &&
    html`<${JsonField} label=${VALUES[event.type] ?? "Result instead of the failure"} value=${value} onInput=${setValue} problem=${problem} />`}
    <label class="field">
      <span>Instance id (empty: a new one)</span>
      <input type="text" name="fork-id" value=${id} onInput=${(input) => setId(input.currentTarget.value)} />
    </label>
    <label class="check">
      <input type="checkbox" checked=${rerun} onChange=${(input) => setRerun(input.currentTarget.checked)} />
      run open activities again instead of using their recorded results
    </label>
    <label class="check">
      <input type="checkbox" checked=${withEvents} onChange=${(input) => setWithEvents(input.currentTarget.checked)} />
      raise the external events again that came later
    </label>
    <${Commands} commands=${{ cli: forkCommand(instanceId, body) }} />
  </${Dialog}>`;
}

/** Export, fork, replay with the present code, and tests of the run. */
export function RecordDialog({ instanceId, path, onClose }) {
  const [busy, setBusy] = useState("");
  const [replayed, setReplayed] = useState(null);
  const [tests, setTests] = useState(null);
  const working = (name, work) => async () => {
    setBusy(name);
    await attempt(work);
    setBusy("");
  };
  const exportFile = working("export", async () => download(`${fileName(instanceId)}.json`, await get(`${path}/export`)));
  const replay = working("replay", async () => setReplayed(await send("POST", `${path}/replay`)));
  const chooseEvent = () => {
    onClose();
    setQuery({ tab: "history" });
  };
  const make = working("tests", async () => setTests(await get(`${path}/tests`)));
  return html`<${Dialog} title="Use this run" wide onClose=${onClose}>
    <div class="stack">
      <h2>Export</h2>
      <p>The history with its sub-orchestrations and payloads, for <code>azemu history import</code> and replay tests.</p>
      <div class="row"><${Button} busy=${busy === "export"} onClick=${exportFile}>Export</${Button}></div>
      <h2>Fork</h2>
      <p>A new instance that continues from an event of this run, with another value or changed code.</p>
      <div class="row"><${Button} onClick=${chooseEvent}>Choose the event in the history</${Button}></div>
      <h2>Replay with the present code</h2>
      <p>Would the code as it is now make the same decisions? No activity runs.</p>
      <div class="row"><${Button} busy=${busy === "replay"} onClick=${replay}>Replay</${Button}></div>
      ${replayed &&
      (replayed.divergences.length
        ? replayed.divergences.map(
            ({ instanceId: id, text }) => html`<${Message} key=${id} kind="error"><span class="pre">${text}</span></${Message}>`,
          )
        : html`<p role="status">The code follows the history: ${plural(replayed.episodes, "episode")} agree.</p>`)}
      <h2>Make a replay test</h2>
      <p>A test that replays the history, and one that repeats the run with the recorded results and events.</p>
      <div class="row">
        <${Button} busy=${busy === "tests"} onClick=${make}>Make a test</${Button}>
        ${tests &&
        html`<${Button} icon="download" onClick=${() => download(tests.test.name, tests.test.text)}>tests/${tests.test.name}</${Button}>
          <${Button} icon="download" onClick=${() => download(tests.history.name.split("/").pop(), tests.history.file)}>
            tests/${tests.history.name}
          </${Button}>`}
      </div>
      ${tests && html`<div class="json"><pre tabindex="0" aria-label="Test">${tests.test.text}</pre></div>`}
    </div>
    <${Commands} commands=${{ cli: historyCommands(instanceId) }} />
  </${Dialog}>`;
}

const fileName = (id) => id.replace(/[^\w.-]+/g, "_") || "history";

function download(name, content) {
  const text = typeof content === "string" ? content : JSON.stringify(content, null, 1);
  const url = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
