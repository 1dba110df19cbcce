// A list of invocations; each opens to its input, result, error and log lines.

import { html, useState } from "../html.js";
import { clockTime, duration, errorText, hostTime } from "../format.js";
import { address } from "../router.js";
import { Empty, Facts, RelativeTime, StatusBadge } from "./basics.js";
import { JsonView } from "./json.js";
import { LogLines } from "./log_lines.js";
import { Table } from "./table.js";

/** `runs`: of the API, newest first. `showFunction`: a column with the function. */
export function Runs({ runs, showFunction = false, showInput = true, empty }) {
  const [open, setOpen] = useState(null);
  const keyOf = (run) => `${run.invocationId} ${run.retry}`;
  const columns = [
    { key: "state", title: "Result", render: (run) => html`<${StatusBadge} status=${run.state} />` },
    showFunction && {
      key: "function",
      title: "Function",
      render: (run) => html`<a href=${address(["functions", run.function])}>${run.function}</a>`,
    },
    { key: "started", title: "Started", render: (run) => html`<span class="nowrap"><${RelativeTime} time=${run.startedAt} /></span>` },
    {
      key: "duration",
      title: "Duration",
      align: "right",
      render: (run) => html`<span class="nowrap">${duration(run.durationMs ?? hostTime() - Date.parse(run.startedAt))}</span>`,
    },
    {
      key: "what",
      title: showInput ? "Input or error" : "Reason",
      render: (run) => html`<span class="one-line mono">${run.error ? errorText(run.error).split("\n")[0] : ((showInput && run.input) || reasonOf(run))}</span>`,
    },
    {
      key: "instance",
      title: "Instance",
      render: (run) => run.instanceId && html`<a class="mono" href=${address(["instances", run.instanceId])}>${run.instanceId}</a>`,
    },
  ].filter((column) => column && (column.key !== "instance" || runs.some((run) => run.instanceId)));
  return html`<${Table}
    label="Invocations"
    columns=${columns}
    rows=${runs}
    rowKey=${keyOf}
    onRow=${(run) => setOpen(open === keyOf(run) ? null : keyOf(run))}
    expanded=${(run) => open === keyOf(run) && html`<${RunDetails} run=${run} showInput=${showInput} />`}
    empty=${empty ?? html`<${Empty} title="No invocations since the host was started" />`}
  />`;
}

// The host logs "(null)" as the reason of functions that Durable Functions calls.
const reasonOf = ({ reason }) => (reason === "(null)" ? "Durable Functions" : reason);

function RunDetails({ run, showInput }) {
  return html`<div class="stack">
    <${Facts}
      items=${[
        ["Invocation", html`<span class="mono">${run.invocationId}</span>`],
        ["Started", clockTime(run.startedAt)],
        ["Reason", reasonOf(run)],
        run.retry ? ["Retry", run.retry] : null,
      ]}
    />
    ${showInput && run.input !== null && html`<div><h3>Input</h3><${JsonView} text=${run.input} label="Input" /></div>`}
    ${showInput && run.result !== null && html`<div><h3>Result</h3><${JsonView} text=${run.result} label="Result" /></div>`}
    ${run.error && html`<div><h3>Error</h3><pre class="block">${run.error}</pre></div>`}
    <div>
      <h3>Log</h3>
      <${LogLines} filter=${{ invocation: run.invocationId }} showFunction=${false} compact />
    </div>
  </div>`;
}
