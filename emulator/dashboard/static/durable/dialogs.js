// Dialogs of actions: start an orchestration, raise an event, signal an entity, run an action on instances.

import { html, useState } from "../html.js";
import { useData } from "../data.js";
import { plural } from "../format.js";
import { Button, CopyButton, Message } from "../components/basics.js";
import { Dialog } from "../components/dialog.js";
import { attempt, toast } from "../components/toast.js";
import { raiseCommands, signalCommands, startCommands } from "./commands.js";
import { raiseEvent, signal, start } from "./management.js";
import { jsonProblem } from "./payloads.js";

const AT_ONCE = 6;

/** A field for a JSON value. */
export function JsonField({ label, value, onInput, problem }) {
  return html`<label class="field">
    <span>${label} (JSON)</span>
    <textarea
      spellcheck=${false}
      value=${value}
      aria-invalid=${Boolean(problem)}
      onInput=${(event) => onInput(event.currentTarget.value)}
    ></textarea>
    ${problem && html`<span class="field-problem" role="alert">${problem}</span>`}
  </label>`;
}

const TextField = ({ label, value, onInput, options, ...others }) =>
  html`<label class="field">
    <span>${label}</span>
    <input type="text" value=${value} list=${options && `${others.name}-options`} onInput=${(event) => onInput(event.currentTarget.value)} ...${others} />
    ${options && html`<datalist id=${`${others.name}-options`}>${options.map((option) => html`<option key=${option} value=${option} />`)}</datalist>`}
  </label>`;

/** Commands to copy: { curl, cli, pytest }. */
export function Commands({ commands, open = false }) {
  const titles = { curl: "curl", cli: "Command line", pytest: "Test (emulator.testing)" };
  return html`<details class="commands" open=${open}>
    <summary>Copy as ${Object.keys(commands).length > 1 ? "curl, command or test" : "command"}</summary>
    <div class="stack">
      ${Object.entries(commands).map(
        ([kind, text]) =>
          html`<div key=${kind}>
            <h3>${titles[kind]}</h3>
            <div class="json"><pre tabindex="0" aria-label=${titles[kind]}>${text}</pre><${CopyButton} text=${text} /></div>
          </div>`,
      )}
    </div>
  </details>`;
}

/** The form of all three dialogs: fields, a button that runs `action`, and the commands. */
function ActionDialog({ title, button, action, disabled, commands, onClose, children }) {
  const [busy, setBusy] = useState(false);
  const run = async () => {
    if (busy || disabled) return;
    setBusy(true);
    const done = await attempt(action);
    setBusy(false);
    if (done !== undefined) onClose();
  };
  return html`<${Dialog}
    title=${title}
    wide
    onClose=${onClose}
    onSubmit=${run}
    actions=${html`<${Button} onClick=${onClose}>Cancel</${Button}>
      <${Button} kind="primary" busy=${busy} disabled=${disabled} onClick=${run}>${button}</${Button}>`}
  >
    ${children}
    <${Commands} commands=${commands} />
  </${Dialog}>`;
}

/** `from`: { name, input } of an earlier run, or null. `onStarted(id)`. */
export function StartDialog({ orchestrators, from, onStarted, onClose }) {
  const [name, setName] = useState(from?.name ?? orchestrators[0] ?? "");
  const [id, setId] = useState("");
  const [input, setInput] = useState(from?.input ?? "");
  const problem = jsonProblem(input);
  const names = orchestrators.includes(name) || !name ? orchestrators : [name, ...orchestrators];
  const action = async () => {
    const started = await start(name, input, id.trim());
    toast(`Started ${started}.`, "success");
    onStarted(started);
    return started;
  };
  return html`<${ActionDialog}
    title=${from ? "Start again with this input" : "Start an orchestration"}
    button="Start"
    action=${action}
    disabled=${!name || Boolean(problem)}
    commands=${startCommands(name, input, id.trim())}
    onClose=${onClose}
  >
    ${!names.length && html`<${Message} kind="warning">The app has no orchestrators.</${Message}>`}
    <div class="fields">
      <label class="field">
        <span>Orchestrator</span>
        <select value=${name} onChange=${(event) => setName(event.currentTarget.value)}>
          ${names.map((option) => html`<option key=${option} value=${option}>${option}</option>`)}
        </select>
      </label>
      <${TextField} label="Instance id (empty: a new one)" name="instance-id" value=${id} onInput=${setId} />
    </div>
    <${JsonField} label="Input" value=${input} onInput=${setInput} problem=${problem} />
  </${ActionDialog}>`;
}

/** `awaited`: names of events for which the instance is known to wait, or that it has received. */
export function RaiseDialog({ instanceId, awaited, onDone, onClose }) {
  const [name, setName] = useState(awaited[0] ?? "");
  const [input, setInput] = useState("");
  const [asText, setAsText] = useState(false);
  const problem = jsonProblem(input);
  const action = async () => {
    await raiseEvent(instanceId, name.trim(), input, asText);
    toast(`Raised ${name.trim()}.`, "success");
    onDone();
    return true;
  };
  return html`<${ActionDialog}
    title="Raise an event"
    button="Raise"
    action=${action}
    disabled=${!name.trim() || Boolean(problem)}
    commands=${raiseCommands(instanceId, name.trim() || "EVENT", input, asText)}
    onClose=${onClose}
  >
    <${TextField} label="Event" name="event" value=${name} onInput=${setName} options=${awaited} autofocus />
    <${JsonField} label="Value" value=${input} onInput=${setInput} problem=${problem} />
    <label class="check">
      <input type="checkbox" checked=${asText} onChange=${(event) => setAsText(event.currentTarget.checked)} />
      send the JSON as a string, as the Python client does
    </label>
  </${ActionDialog}>`;
}

/** `entity`: { name, key } or null to choose one of `names`. */
export function SignalDialog({ entity, names = [], onDone, onClose }) {
  const [name, setName] = useState(entity?.name ?? names[0] ?? "");
  const [key, setKey] = useState(entity?.key ?? "");
  const [operation, setOperation] = useState("");
  const [input, setInput] = useState("");
  const problem = jsonProblem(input);
  const action = async () => {
    await signal(name, key, operation.trim(), input);
    toast(`Sent ${operation.trim()} to @${name}@${key}.`, "success");
    onDone();
    return true;
  };
  return html`<${ActionDialog}
    title="Signal an entity"
    button="Send"
    action=${action}
    disabled=${!name || !operation.trim() || Boolean(problem)}
    commands=${signalCommands(name, key, operation.trim() || "OPERATION", input)}
    onClose=${onClose}
  >
    <div class="fields">
      <label class="field">
        <span>Entity</span>
        <select value=${name} disabled=${Boolean(entity)} onChange=${(event) => setName(event.currentTarget.value)}>
          ${[...new Set([name, ...names])].filter(Boolean).map((option) => html`<option key=${option} value=${option}>${option}</option>`)}
        </select>
      </label>
      <${TextField} label="Key" name="entity-key" value=${key} disabled=${Boolean(entity)} onInput=${setKey} />
      <${TextField} label="Operation" name="operation" value=${operation} onInput=${setOperation} />
    </div>
    <${JsonField} label="Input" value=${input} onInput=${setInput} problem=${problem} />
  </${ActionDialog}>`;
}

/** Run one of ACTIONS on instances, after a question. `instances`: [{ instanceId, status }]. `onDone(ids)`. */
export function RunDialog({ action, instances, onDone, onClose }) {
  const [reason, setReason] = useState("");
  const [progress, setProgress] = useState(null);
  const fitting = instances.filter(({ status }) => action.allowed(status));
  const left = instances.length - fitting.length;
  const run = async () => {
    if (progress !== null || !fitting.length) return;
    setProgress(0);
    const waiting = fitting.map(({ instanceId }) => instanceId);
    const done = [];
    const problems = [];
    const work = async () => {
      for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
        try {
          done.push([id, await action.run(id, action.reason ? reason : undefined)]);
        } catch (error) {
          problems.push(`${id}: ${error.message}`);
        }
        setProgress(done.length + problems.length);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (done.length) toast(`${plural(done.length, "instance")} ${action.done}.`, "success");
    if (problems.length) {
      const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
      toast(`${problems[0]}${more}`, "error");
    }
    onDone(done);
    onClose();
  };
  const single = instances.length === 1;
  return html`<${Dialog}
    title=${single ? `${action.title} ${instances[0].instanceId}?` : `${action.title} ${plural(fitting.length, "instance")}?`}
    onClose=${onClose}
    onSubmit=${run}
    actions=${html`<${Button} onClick=${onClose}>Cancel</${Button}>
      <${Button} kind=${action.danger ? "danger" : "primary"} busy=${progress !== null} disabled=${!fitting.length} onClick=${run}>
        ${progress === null ? action.title : `${progress} of ${fitting.length}`}
      </${Button}>`}
  >
    ${action.explain && html`<p>${action.explain}</p>`}
    ${left > 0 &&
    html`<p class="muted">
      ${single ? "This instance" : plural(left, "selected instance")} cannot be ${action.done} because of its status, and
      ${single ? " nothing is" : " is"} left as it is.
    </p>`}
    ${action.reason &&
    html`<${TextField} label="Reason (optional)" name="reason" value=${reason} onInput=${setReason} />`}
  </${Dialog}>`;
}

/** What the pages need to know of the host: { mayWrite, … }, or null before it is known. */
export function useHost() {
  return useData("home").data;
}
