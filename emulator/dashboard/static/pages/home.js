// Home: the state of the host, its storage, its task hub and its queues.

import { html } from "../html.js";
import { useData } from "../data.js";
import { Empty, ErrorBox, Facts, Loading, Message, NotLoaded, PageHead, Panel, RelativeTime, StatusBadge } from "../components/basics.js";
import { Runs } from "../components/runs.js";
import { Table } from "../components/table.js";
import { VirtualTime } from "../components/virtual_time.js";
import { clockTime, count, errorText, plural } from "../format.js";
import { address } from "../router.js";

export default function HomePage() {
  const { data, error, reload } = useData("home", {}, { live: true, every: 5000 });
  const storage = useData("home/storage", {}, { live: true, every: 3000, pause: 1500 });
  // In Azure, the list of instances costs requests.
  const failed = useData(data?.taskHub && data.storageIsLocal ? "instances" : null, { status: "Failed", limit: 5 }, { every: 10000 });
  if (!data) return html`<${NotLoaded} title="Home" error=${error} onRetry=${reload} />`;
  const poison = (storage.data?.queues ?? []).filter(({ kind, messages }) => kind === "poison" && messages);
  return html`
    <${PageHead}
      title=${data.app}
      subtitle=${html`<span class="mono">${data.folder}</span>`}
      actions=${html`<${StatusBadge} status=${data.state} />`}
    />
    ${data.errors.map((text) => html`<${Message} key=${text} kind="error"><div class="pre mono">${text}</div></${Message}>`)}
    ${data.functionsInError > 0 &&
    html`<${Message} kind="error">
      ${data.functionsInError} of the functions cannot run. <a href=${address(["functions"])}>Show the reasons</a>
    </${Message}>`}
    ${poison.map(
      (queue) =>
        html`<${Message} key=${queue.name} kind="warning">
          ${plural(queue.messages, "message")} in the poison queue <a href=${address(["storage", "queues", queue.name])}>${queue.name}</a> of the
          function ${queue.function}.
        </${Message}>`,
    )}
    ${!data.mayWrite && html`<${Message}>The storage is not on this machine, so the dashboard only reads it (azemu start --dashboard-writes).</${Message}>`}
    <div class="numbers">
      <${Number} label="functions" value=${data.functions} href=${address(["functions"])} />
      <${Number} label="invocations" value=${data.startedInvocations} href=${address(["logs"])} />
      <${Number} label="running now" value=${data.runningCount} />
      <${Number} label="failed" value=${data.failedInvocations} bad=${data.failedInvocations > 0} href=${address(["logs"], { level: "Error" })} />
    </div>
    <div class="grid">
      <div class="stack">
      <${Panel} title="Host">
        <${Facts}
          items=${[
            ["Version", `azemu ${data.version}, Python ${data.python}`],
            ["Started", html`<${RelativeTime} time=${data.startedAt} />`],
            ["Time of the app", clockTime(data.now, { milliseconds: false })],
            ["Storage", data.storage ?? "none (AzureWebJobsStorage is not set)"],
            data.taskHub && ["Task hub", html`<span class="mono">${data.taskHub}</span>`],
          ]}
        />
      </${Panel}>
      ${storage.data?.partitions &&
      html`<${Panel} title="Partitions" flush>
        <${Table}
          label="Partitions"
          columns=${[
            { key: "queue", title: "Control queue", render: ({ queue }) => html`<span class="mono">${queue}</span>` },
            {
              key: "owner",
              title: "Owner",
              render: ({ owner, isDraining }) =>
                owner
                  ? html`<span class="mono">${owner}</span> ${isDraining && html`<${StatusBadge} status="draining" tone="yellow" />`}`
                  : html`<${StatusBadge} status="no owner" tone="yellow" />`,
            },
            { key: "expires", title: "Lease expires", render: ({ expiresAt }) => html`<span class="nowrap"><${RelativeTime} time=${expiresAt} /></span>` },
          ]}
          rows=${storage.data.partitions}
          rowKey=${({ queue }) => queue}
          empty=${html`<${Empty} title=${storage.data.partitionsError ? "Not known: the storage does not respond" : "The task hub has not been created yet"} />`}
        />
      </${Panel}>`}
      </div>
      <${Panel} title="Queues" flush>
        <${Queues} ...${storage} />
      </${Panel}>
    </div>
    ${data.isVirtualTime && html`<${VirtualTime} />`}
    ${failed.data?.total > 0 &&
    html`<${Panel}
      title="Failed orchestrations"
      flush
      actions=${html`<a href=${address(["instances"], { status: "Failed" })}>All ${count(failed.data.total)}</a>`}
    >
      <${Table}
        label="Failed orchestrations"
        columns=${[
          { key: "time", title: "Time", render: ({ updatedAt }) => html`<span class="nowrap"><${RelativeTime} time=${updatedAt} /></span>` },
          { key: "name", title: "Orchestrator" },
          { key: "id", title: "Instance", render: ({ instanceId: id }) => html`<a class="mono" title=${id} href=${address(["instances", id])}>${id}</a>` },
        ]}
        rows=${failed.data.instances}
        rowKey=${({ instanceId }) => instanceId}
      />
    </${Panel}>`}
    ${data.running.length > 0 &&
    html`<${Panel} title="Running invocations" flush>
      <${Runs} runs=${data.running} showFunction showInput=${false} />
    </${Panel}>`}
    <${Panel} title="Recent errors" flush actions=${html`<a href=${address(["logs"], { level: "Error" })}>All in the log</a>`}>
      <${Table}
        label="Recent errors"
        columns=${[
          { key: "time", title: "Time", render: ({ time }) => html`<span class="nowrap"><${RelativeTime} time=${time} /></span>` },
          {
            key: "function",
            title: "Function",
            render: (line) => [
              line.function ? html`<a href=${address(["functions", line.function])}>${line.function}</a>` : html`<span class="muted">${line.category}</span>`,
              line.instanceId && html`<div class="mono ellipsis instance below"><a title=${line.instanceId} href=${address(["instances", line.instanceId])}>${line.instanceId}</a></div>`,
            ],
          },
          {
            key: "message",
            title: "Message",
            render: ({ text, message }) => html`<div class="pre mono three-lines" title=${message}>${text}</div>`,
          },
          { key: "times", title: "Times", align: "right", render: ({ times }) => (times > 1 ? count(times) : "") },
        ]}
        rows=${grouped(data.recentErrors)}
        rowKey=${({ seq }) => seq}
        empty=${html`<${Empty} title="No errors since the host was started" />`}
      />
    </${Panel}>
  `;
}

/** One row for errors of the same text, such as those of a message that was tried again. The newest are first. */
function grouped(errors) {
  const groups = new Map();
  for (const line of errors) {
    const text = errorText(line.message);
    const key = `${line.function ?? line.category} ${text}`;
    if (groups.has(key)) groups.get(key).times += 1;
    else groups.set(key, { ...line, text, times: 1 });
  }
  return [...groups.values()];
}

const Number = ({ label, value, href, bad = false }) =>
  href
    ? html`<a class=${`number ${bad ? "alert" : ""}`} href=${href}><strong>${count(value)}</strong>${label}</a>`
    : html`<div class=${`number ${bad ? "alert" : ""}`}><strong>${count(value)}</strong>${label}</div>`;

function Queues({ data, error, reload }) {
  if (!data) return error ? html`<${ErrorBox} error=${error} onRetry=${reload} />` : html`<${Loading} />`;
  return html`
    ${data.queuesError && html`<${ErrorBox} error=${{ message: data.queuesError }} />`}
    ${!(data.queuesError && !data.queues.length) && html`<${Table}
      label="Queues"
      columns=${[
        {
          key: "name",
          title: "Queue",
          render: ({ name }) => html`<a class="mono" href=${address(["storage", "queues", name])}>${name}</a>`,
        },
        { key: "kind", title: "Read by", render: (queue) => readerOf(queue) },
        { key: "messages", title: "Messages", align: "right", render: ({ messages }) => count(messages) },
      ]}
      rows=${data.queues}
      rowKey=${({ name, function: reader }) => `${name} ${reader}`}
      empty=${html`<${Empty} title="The app reads no queues" />`}
    />`}
  `;
}

function readerOf({ kind, function: name }) {
  if (kind === "control") return html`<span class="muted">orchestrations</span>`;
  if (kind === "workItems") return html`<span class="muted">activities</span>`;
  if (kind === "poison") return html`<span class="muted">poison queue of ${name}</span>`;
  return html`<a href=${address(["functions", name])}>${name}</a>`;
}
