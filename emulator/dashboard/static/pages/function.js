// One function: run it, its invocations, its log, its captured outputs, its bindings.

import { html, useEffect, useState } from "../html.js";
import { accessKey, request } from "../api.js";
import { useData } from "../data.js";
import { Button, CopyButton, Empty, ErrorBox, Facts, Message, NotLoaded, PageHead, Panel, RelativeTime, StatusBadge } from "../components/basics.js";
import { JsonView, indented } from "../components/json.js";
import { LogLines } from "../components/log_lines.js";
import { Runs } from "../components/runs.js";
import { Table } from "../components/table.js";
import { Tabs } from "../components/tabs.js";
import { toast } from "../components/toast.js";
import { curl, shell } from "../durable/commands.js";
import { signal, start } from "../durable/management.js";
import { jsonProblem } from "../durable/payloads.js";
import { duration } from "../format.js";
import { address, setQuery } from "../router.js";
import { triggerName, whatStarts } from "./functions.js";

const DURABLE = ["orchestrationtrigger", "entitytrigger"];

export default function FunctionPage({ params, query }) {
  const path = `functions/${encodeURIComponent(params.name)}`;
  const { data, error, reload } = useData(path, {}, { live: true });
  const runs = useData(`${path}/runs`, {}, { live: true });
  const outputs = useData(`${path}/outputs`, {}, { live: true });
  const host = useData("home");
  if (!data) return html`<${NotLoaded} title=${params.name} error=${error} onRetry=${reload} />`;
  const tab = query.tab ?? "run";
  const isDurable = DURABLE.includes(data.trigger.toLowerCase());
  return html`
    <${PageHead}
      title=${data.name}
      subtitle=${html`<a href=${address(["functions"])}>Functions</a> · ${triggerName(data.trigger)} ${whatStarts(data) && html`· ${whatStarts(data)}`}`}
      actions=${html`<${StatusBadge} status=${data.state} />`}
    />
    ${data.reason && html`<${Message} kind="error"><div class="pre mono">${data.reason}</div></${Message}>`}
    ${data.state === "Disabled" && html`<${Message}>The function is disabled: its trigger does not run it. It can be run here.</${Message}>`}
    ${data.isManual && html`<${Message}>azemu does not listen to this trigger. Run the function here, or with <code>azemu invoke ${data.name}</code>.</${Message}>`}
    <div class="facts-row">
      <${Facts}
        items=${[
          ["Source", html`<span class="mono">${data.source}</span>`],
          ["Runs", `${data.succeeded} succeeded, ${data.failed} failed, ${data.running} running`],
        ]}
      />
      <${Facts}
        items=${[
          ["Average", duration(data.averageMs)],
          ["Last run", html`<${RelativeTime} time=${data.lastRun?.startedAt} />`],
        ]}
      />
    </div>
    <${Tabs}
      label="Parts of the function"
      tabs=${[
        { id: "run", title: "Run" },
        { id: "invocations", title: "Invocations", count: runs.data?.runs.length },
        { id: "log", title: "Log" },
        { id: "outputs", title: "Outputs", count: outputs.data?.outputs.length },
        { id: "bindings", title: "Bindings", count: data.bindings.length },
      ]}
      active=${tab}
      onChange=${(id) => setQuery({ tab: id === "run" ? "" : id })}
    />
    ${tab === "run" &&
    (host.data && !host.data.mayWrite
      ? html`<${Message}>The storage is not on this machine, so functions cannot be run here (azemu start --dashboard-writes).</${Message}>`
      : html`<${RunForm} key=${data.name} data=${data} />`)}
    ${tab === "invocations" && html`<${Panel} flush><${Runs} runs=${runs.data?.runs ?? []} showInput=${!isDurable} /></${Panel}>`}
    ${tab === "log" && html`<${Panel} flush><${LogLines} filter=${{ function: data.name }} showFunction=${false} /></${Panel}>`}
    ${tab === "outputs" && html`<${Outputs} outputs=${outputs.data?.outputs ?? []} />`}
    ${tab === "bindings" && html`<${Bindings} bindings=${data.bindings} />`}
  `;
}

function RunForm({ data }) {
  const { sample } = data;
  switch (sample.kind) {
    case "http":
      return html`<${HttpForm} data=${data} />`;
    case "start":
      return html`<${PostForm}
        action="Start an instance"
        fields=${[{ name: "id", label: "Instance id (empty: a new one)", value: "" }]}
        send=${(fields, input) => start(sample.name, input, fields.id.trim())}
        data=${sample.data}
      />`;
    case "signal":
      return html`<${PostForm}
        action="Signal the entity"
        fields=${[
          { name: "key", label: "Key", value: "sample" },
          { name: "operation", label: "Operation", value: sample.operation },
        ]}
        send=${async (fields, input) => void (await signal(sample.name, fields.key, fields.operation.trim(), input))}
        data=${sample.data}
      />`;
    default:
      return html`<${ManualForm} data=${data} />`;
  }
}

/** Sends the request to the function itself, so that the response is what any client gets. */
function HttpForm({ data }) {
  const { sample } = data;
  const methods = sample.methods.length ? sample.methods : ["GET", "POST", "PUT", "PATCH", "DELETE"];
  const [method, setMethod] = useState(sample.method);
  const [path, setPath] = useState(sample.path);
  const [headers, setHeaders] = useState(sample.body ? "Content-Type: application/json" : "");
  const [body, setBody] = useState(sample.body);
  const [busy, setBusy] = useState(false);
  const [answer, setAnswer] = useState(null);
  const hasBody = !["GET", "HEAD"].includes(method);
  const started = answer?.text && startedInstance(answer.text);
  const send = async () => {
    setBusy(true);
    setAnswer(null);
    const begun = performance.now();
    try {
      const given = new Headers(accessKey() ? { "x-functions-key": accessKey() } : {});
      for (const line of linesOf(headers)) {
        const [name, ...rest] = line.split(":");
        given.set(name.trim(), rest.join(":").trim());
      }
      const response = await fetch(`../${path.replace(/^\/+/, "")}`, { method, headers: given, body: hasBody && body ? body : undefined });
      const text = await response.text();
      setAnswer({ status: response.status, reason: response.statusText, headers: [...response.headers], text, ms: performance.now() - begun });
    } catch (error) {
      setAnswer({ error });
    }
    setBusy(false);
  };
  return html`<div class="grid">
    <${Panel} title="Request">
      <form class="stack" onSubmit=${(event) => { event.preventDefault(); send(); }}>
        <div class="request-line">
          <select aria-label="Method" value=${method} onChange=${(event) => setMethod(event.currentTarget.value)}>
            ${methods.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
          </select>
          <input class="mono" type="text" aria-label="Path" value=${path} onInput=${(event) => setPath(event.currentTarget.value)} />
        </div>
        <label class="field">
          <span>Headers, one per line</span>
          <textarea class="short" spellcheck="false" value=${headers} onInput=${(event) => setHeaders(event.currentTarget.value)}></textarea>
        </label>
        ${hasBody &&
        html`<label class="field">
          <span>Body</span>
          <textarea spellcheck="false" value=${body} onInput=${(event) => setBody(event.currentTarget.value)} onKeyDown=${onCtrlEnter(send)}></textarea>
        </label>`}
        <div class="row">
          <${Button} type="submit" kind="primary" icon="play" busy=${busy}>Send</${Button}>
          <${CopyButton} label="Copy as curl" text=${() => curl(method, path.replace(/^\/+/, ""), linesOf(headers), hasBody ? body : "")} />
          <span class="muted">Ctrl+Enter sends</span>
        </div>
      </form>
    </${Panel}>
    <${Panel} title="Response">
      ${answer === null && html`<${Empty} title=${busy ? "Waiting for the response …" : "Send the request to see the response"} />`}
      ${answer?.error && html`<${ErrorBox} error=${answer.error} />`}
      ${answer?.status &&
      html`<div class="stack">
        <div class="row">
          <${StatusBadge} status=${`${answer.status} ${answer.reason}`} tone=${answer.status < 300 ? "green" : answer.status < 400 ? "blue" : "red"} />
          <span class="muted">${duration(answer.ms)}</span>
          ${started && html`<a href=${address(["instances", started])}>Open the instance ${started}</a>`}
        </div>
        <${JsonView} text=${answer.text} label="Response body" />
        <details>
          <summary>Headers</summary>
          <pre class="block">${answer.headers.map(([name, value]) => `${name}: ${value}`).join("\n")}</pre>
        </details>
      </div>`}
    </${Panel}>
  </div>`;
}

const linesOf = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** Id of the instance that a function has started, if it responds as create_check_status_response of the SDK does. */
function startedInstance(text) {
  try {
    const { id, statusQueryGetUri } = JSON.parse(text);
    return typeof id === "string" && statusQueryGetUri ? id : null;
  } catch {
    return null;
  }
}

const onCtrlEnter = (send) => (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    send();
  }
};

/** Runs the function as `azemu invoke` does: with data of the caller instead of an event of its trigger. */
function ManualForm({ data }) {
  const { sample } = data;
  const [input, setInput] = useState(sample.data ?? "");
  const [metadata, setMetadata] = useState(sample.metadata ? JSON.stringify(sample.metadata, null, 2) : "");
  const [supplied, setSupplied] = useState({});
  const [busy, setBusy] = useState(false);
  const [result, setResult] = useState(null);
  const run = async () => {
    setBusy(true);
    setResult(null);
    try {
      const body = {};
      if (sample.data !== null) body.input = input;
      if (metadata.trim()) body.metadata = JSON.parse(metadata);
      const given = Object.entries(supplied).filter(([, text]) => text.trim());
      if (given.length) body.inputs = Object.fromEntries(given.map(([name, text]) => [name, jsonOrText(text)]));
      const url = `../admin/azemu/functions/${encodeURIComponent(data.name)}/invoke`;
      const response = await request(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      setResult({ value: await response.json() });
    } catch (error) {
      setResult({ error });
    }
    setBusy(false);
  };
  return html`<div class="grid">
    <${Panel} title="Event">
      <form class="stack" onSubmit=${(event) => { event.preventDefault(); run(); }}>
        ${sample.data === null
          ? html`<p class="muted">The function runs now; its trigger needs no data.</p>`
          : html`<label class="field">
              <span>Data of the trigger</span>
              <textarea spellcheck="false" value=${input} onInput=${(event) => setInput(event.currentTarget.value)} onKeyDown=${onCtrlEnter(run)}></textarea>
            </label>`}
        ${(sample.metadata || data.isManual) &&
        html`<label class="field">
          <span>Trigger metadata (JSON)</span>
          <textarea class="short" spellcheck="false" value=${metadata} onInput=${(event) => setMetadata(event.currentTarget.value)}></textarea>
        </label>`}
        ${data.suppliedInputs.map(
          (name) =>
            html`<label class="field" key=${name}>
              <span>Value of the input ${name} (JSON or text)</span>
              <textarea
                class="short"
                spellcheck="false"
                value=${supplied[name] ?? ""}
                onInput=${(event) => setSupplied({ ...supplied, [name]: event.currentTarget.value })}
              ></textarea>
            </label>`,
        )}
        <div class="row">
          <${Button} type="submit" kind="primary" icon="play" busy=${busy}>Run</${Button}>
          <${CopyButton} label="Copy as azemu invoke" text=${() => `azemu invoke ${shell(data.name)}${sample.data === null ? "" : ` ${shell(input)}`}`} />
        </div>
      </form>
    </${Panel}>
    <${Panel} title="Result">
      ${result === null && html`<${Empty} title=${busy ? "The function is running …" : "Run the function to see its result"} />`}
      ${result?.error && html`<${ErrorBox} error=${result.error} />`}
      ${result?.value &&
      html`<div class="stack">
        <div><${StatusBadge} status="Succeeded" /></div>
        ${result.value.result === null || result.value.result === undefined
          ? html`<p class="muted">The function has returned nothing.</p>`
          : html`<${JsonView}
              text=${typeof result.value.result === "string" ? result.value.result : undefined}
              value=${result.value.result}
              label="Result"
            />`}
        ${result.value.outputs.map(
          (output) =>
            html`<div key=${output.binding}>
              <h3>Output ${output.binding} ${!output.sent && html`<${StatusBadge} status="captured, not sent" tone="grey" />`}</h3>
              <${OutputValue} output=${output} />
            </div>`,
        )}
      </div>`}
    </${Panel}>
  </div>`;
}

const jsonOrText = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** Starts an orchestration or signals an entity. `send(fields, json)`: returns the id of a new instance. */
function PostForm({ action, fields, send, data }) {
  const [values, setValues] = useState(Object.fromEntries(fields.map(({ name, value }) => [name, value])));
  const [input, setInput] = useState(data);
  const [busy, setBusy] = useState(false);
  const [answer, setAnswer] = useState(null);
  const problem = jsonProblem(input);
  const post = async () => {
    if (busy || problem) return;
    setBusy(true);
    setAnswer(null);
    try {
      setAnswer({ id: await send(values, input) });
      toast("Sent.", "success");
    } catch (error) {
      setAnswer({ error });
    }
    setBusy(false);
  };
  return html`<${Panel} title=${action}>
    <form class="stack narrow" onSubmit=${(event) => { event.preventDefault(); post(); }}>
      ${fields.map(
        ({ name, label }) =>
          html`<label class="field" key=${name}>
            <span>${label}</span>
            <input type="text" value=${values[name]} onInput=${(event) => setValues({ ...values, [name]: event.currentTarget.value })} />
          </label>`,
      )}
      <label class="field">
        <span>Input (JSON)</span>
        <textarea spellcheck="false" aria-invalid=${Boolean(problem)} value=${input} onInput=${(event) => setInput(event.currentTarget.value)} onKeyDown=${onCtrlEnter(post)}></textarea>
        ${problem && html`<span class="field-problem" role="alert">${problem}</span>`}
      </label>
      <div class="row"><${Button} type="submit" kind="primary" icon="play" busy=${busy} disabled=${Boolean(problem)}>${action}</${Button}></div>
      ${answer?.error && html`<${ErrorBox} error=${answer.error} />`}
      ${answer?.id &&
      html`<${Message}>Started the instance <a class="mono" href=${address(["instances", answer.id])}>${answer.id}</a>.</${Message}>`}
    </form>
  </${Panel}>`;
}

const OutputValue = ({ output }) =>
  output.valueBase64 !== undefined
    ? html`<${JsonView} text=${output.valueBase64} label="Value in base64" />`
    : typeof output.value === "string"
      ? html`<${JsonView} text=${output.value} label="Value" />`
      : html`<${JsonView} value=${output.value} label="Value" />`;

function Outputs({ outputs }) {
  const [open, setOpen] = useState(null);
  useEffect(() => setOpen(null), [outputs.length]);
  const rows = outputs.map((output, index) => ({ ...output, key: `${output.invocationId} ${output.binding} ${index}` }));
  return html`<${Panel} flush>
    <${Table}
      label="Outputs"
      columns=${[
        { key: "time", title: "Time", render: ({ capturedAt }) => html`<span class="nowrap"><${RelativeTime} time=${capturedAt} /></span>` },
        { key: "binding", title: "Binding", render: ({ binding, type }) => html`${binding} <span class="muted">${type}</span>` },
        { key: "sent", title: "State", render: ({ sent }) => html`<${StatusBadge} status=${sent ? "sent" : "captured"} tone=${sent ? "green" : "grey"} />` },
        {
          key: "value",
          title: "Value",
          render: (output) => html`<span class="one-line mono">${output.valueBase64 ?? (typeof output.value === "string" ? output.value : JSON.stringify(output.value))}</span>`,
        },
      ]}
      rows=${rows}
      rowKey=${({ key }) => key}
      onRow=${({ key }) => setOpen(open === key ? null : key)}
      expanded=${(output) => open === output.key && html`<${OutputValue} output=${output} />`}
      empty=${html`<${Empty} title="No outputs since the host was started">The last values of output bindings are kept here, also of services that azemu does not call.</${Empty}>`}
    />
  </${Panel}>`;
}

const Bindings = ({ bindings }) =>
  html`<${Panel} flush>
    <${Table}
      label="Bindings"
      columns=${[
        { key: "name", title: "Name", render: ({ name }) => html`<span class="mono">${name}</span>` },
        { key: "type", title: "Type" },
        { key: "direction", title: "Direction" },
        {
          key: "properties",
          title: "Properties",
          render: ({ properties }) => html`<pre class="plain">${indented(JSON.stringify(properties))}</pre>`,
        },
      ]}
      rows=${bindings}
      rowKey=${({ name }) => name}
    />
  </${Panel}>`;
