// Functions: all functions of the app with their trigger and state.

import { html, useMemo } from "../html.js";
import { useData } from "../data.js";
import { Empty, Message, NotLoaded, PageHead, Panel, RelativeTime, SearchField, StatusBadge } from "../components/basics.js";
import { Table } from "../components/table.js";
import { count, duration } from "../format.js";
import { address, navigate, setQuery } from "../router.js";

export default function FunctionsPage({ query }) {
  const { data, error, reload } = useData("functions", {}, { live: true });
  const text = (query.text ?? "").toLowerCase();
  const shown = useMemo(
    () =>
      (data?.functions ?? []).filter((row) =>
        [row.name, row.trigger, row.detail, row.path].some((value) => value && value.toLowerCase().includes(text)),
      ),
    [data, text],
  );
  if (!data) return html`<${NotLoaded} title="Functions" error=${error} onRetry=${reload} />`;
  return html`
    <${PageHead}
      title="Functions"
      actions=${html`<${SearchField} value=${query.text ?? ""} placeholder="Filter functions" onInput=${(value) => setQuery({ text: value })} />`}
    />
    ${data.loadErrors.map((problem) => html`<${Message} key=${problem} kind="error"><div class="pre mono">${problem}</div></${Message}>`)}
    <${Panel} flush>
      <${Table}
        label="Functions"
        columns=${COLUMNS}
        rows=${shown}
        rowKey=${({ name }) => name}
        onRow=${(row) => row.trigger && navigate(["functions", row.name])}
        empty=${text
          ? html`<${Empty} title=${`No function matches "${text}"`} />`
          : html`<${Empty} title="The app has no functions">Declare functions in function_app.py; the host restarts when the file changes.</${Empty}>`}
      />
    </${Panel}>
  `;
}

/** "httpTrigger" as "HTTP", "queueTrigger" as "Queue". */
export function triggerName(type) {
  const name = (type ?? "").replace(/Trigger$/i, "");
  if (name.toLowerCase() === "http") return "HTTP";
  const spaced = name.replace(/([a-z])([A-Z])/g, "$1 $2");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

export const whatStarts = (row) =>
  row.path ? html`<span class="mono">${row.methods.length ? `${row.methods.join(", ")} ` : ""}${row.path}</span>` : row.detail && html`<span class="mono">${row.detail}</span>`;

const COLUMNS = [
  {
    key: "name",
    title: "Name",
    sort: (row) => row.name.toLowerCase(),
    render: (row) => (row.trigger ? html`<a href=${address(["functions", row.name])}><strong>${row.name}</strong></a>` : html`<strong>${row.name}</strong>`),
  },
  { key: "trigger", title: "Trigger", sort: (row) => row.trigger, render: (row) => html`<span class="nowrap">${triggerName(row.trigger)}</span>` },
  { key: "detail", title: "Listens to", render: (row) => (row.reason ? html`<span class="pre">${row.reason}</span>` : whatStarts(row)) },
  {
    key: "state",
    title: "State",
    sort: (row) => row.state,
    render: (row) => html`<${StatusBadge} status=${row.state} />`,
  },
  {
    key: "runs",
    title: "Runs",
    align: "right",
    sort: (row) => (row.succeeded ?? 0) + (row.failed ?? 0),
    render: (row) => row.trigger && count(row.succeeded + row.failed),
  },
  {
    key: "failed",
    title: "Failed",
    align: "right",
    sort: (row) => row.failed ?? 0,
    render: (row) => row.trigger && (row.failed ? html`<span class="bad">${count(row.failed)}</span>` : "0"),
  },
  { key: "average", title: "Average", align: "right", sort: (row) => row.averageMs, render: (row) => html`<span class="nowrap">${duration(row.averageMs)}</span>` },
  {
    key: "last",
    title: "Last run",
    sort: (row) => row.lastRun && row.lastRun.startedAt,
    render: (row) => html`<span class="nowrap"><${RelativeTime} time=${row.lastRun?.startedAt} /></span>`,
  },
];
