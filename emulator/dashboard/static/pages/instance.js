// Instance: one orchestration (or entity) with its status, what it waits for, and everything that is stored of it.

import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { useData } from "../data.js";
import { follow } from "../events.js";
import { clockTime, count, duration, plural } from "../format.js";
import { address, navigate, setQuery } from "../router.js";
import { Button, CopyButton, Empty, ErrorBox, Facts, Loading, Message, NotLoaded, PageHead, Panel, RelativeTime, StatusBadge } from "../components/basics.js";
import { Dialog } from "../components/dialog.js";
import { JsonView } from "../components/json.js";
import { LogLines } from "../components/log_lines.js";
import { Table } from "../components/table.js";
import { Tabs } from "../components/tabs.js";
import { Comparison } from "../durable/comparison.js";
import { Commands, RaiseDialog, RunDialog, StartDialog, useHost } from "../durable/dialogs.js";
import { ForkDialog, RecordDialog } from "../durable/fork.js";
import { History } from "../durable/history.js";
import { startCommands, statusCommands } from "../durable/commands.js";
import { ACTIONS, ended } from "../durable/management.js";
import { Payload, decodedText } from "../durable/payloads.js";
import { SequenceDiagram } from "../durable/sequence.js";
import { Timeline } from "../durable/timeline.js";
import { ReadOnly } from "./instances.js";

const MOST_FACTS = 4;
const LOOK_AGAIN = 2000;
const TABS = [
  { id: "timeline", title: "Timeline" },
  { id: "history", title: "History" },
  { id: "sequence", title: "Sequence" },
  { id: "logs", title: "Logs" },
  { id: "source", title: "Source" },
  { id: "rows", title: "Stored rows" },
  { id: "comparison", title: "Compare" },
];

export default function InstancePage({ params, query }) {
  // Another instance is another page: nothing of the old one may be shown meanwhile.
  return html`<${Instance} key=${params.id} id=${params.id} query=${query} />`;
}

function Instance({ id, query }) {
  const host = useHost();
  const path = `instances/${encodeURIComponent(id)}`;
  const [version, setVersion] = useState(0);
  const { data, error, reload } = useLive(path, {}, version);
  const why = useWhy(id, version, data);
  const [dialog, setDialog] = useState(null);
  const exists = Boolean(data) && error?.status !== 404;
  // What the page shows: the instance may change before the stream of its changes is open, or while that is interrupted.
  const shown = useRef();
  shown.current = data?.rowVersion;
  useEffect(() => {
    if (!exists) return undefined;
    return follow(`${path}/changes`, () => ({ version: shown.current }), { onEvent: () => setVersion((old) => old + 1) });
  }, [path, exists]);
  const isAwaited = error?.status === 404 && !data;
  useEffect(() => {
    if (!isAwaited) return undefined;
    // A link from a log line or a response may be opened before the instance is stored.
    const timer = setInterval(() => document.hidden || reload(), LOOK_AGAIN);
    return () => clearInterval(timer);
  }, [isAwaited]);
  // After a purge the data from before is still there.
  if (!exists) {
    return error?.status === 404
      ? html`<${PageHead} title=${id} />
          <${Empty} title="There is no such instance">
            It was purged, or it has not been stored yet. <button type="button" class="link" onClick=${reload}>Look again</button> or
            <a href=${address(["instances"])}> show all instances</a>.
          </${Empty}>`
      : html`<${NotLoaded} title=${id} error=${error} onRetry=${reload} />`;
  }
  const tab = TABS.some(({ id: known }) => known === query.tab) ? query.tab : "timeline";
  const update = () => setVersion((old) => old + 1);
  const done = (results) => {
    update();
    const [first] = results;
    if (dialog.name === "restart" && first?.[1]) navigate(["instances", first[1]]);
    else if (dialog.name === "purge" && first) navigate(["instances"]);
  };
  const input = data.input ? decodedText(data.input.text) : "";
  return html`
    <${PageHead}
      title=${html`<span class="mono">${id}</span> <${CopyButton} text=${id} label="Copy the id" />`}
      subtitle=${html`<span class="row">
        <${StatusBadge} status=${data.status} />
        ${data.isEntity
          ? html`<span>entity <a href=${address(["entities"], { id })}>show its state and signal it</a></span>`
          : html`<a href=${address(["functions"], { text: data.name })}>${data.name}</a>`}
        ${data.parent && html`<span>part of <a href=${address(["instances", data.parent])}>${data.parent}</a></span>`}
        ${data.restartOf && html`<span>restart of <a href=${address(["instances", data.restartOf])}>${data.restartOf}</a></span>`}
      </span>`}
      actions=${html`${host?.mayWrite && html`<${Actions} data=${data} onChoose=${setDialog} />`}
        ${!data.isEntity && data.events > 0 && html`<${Button} onClick=${() => setDialog({ name: "record" })}>Export, fork, replay …</${Button}>`}
        <${Button} icon="copy" onClick=${() => setDialog({ name: "commands" })}>Copy as</${Button}>`}
    />
    ${host && !host.mayWrite && html`<${ReadOnly} />`}
    ${why?.summary && !ended(data.status) && html`<${Why} why=${why} />`}
    <div class="instance-grid">
      <${Panel} title="Status"><${Status} data=${data} /></${Panel}>
      ${[
        ["input", "Input"],
        ["output", data.status === "Failed" ? "Error" : "Output"],
        ["customStatus", "Custom status"],
      ]
        .filter(([name]) => data[name])
        .map(
          ([name, title]) =>
            html`<${Panel} key=${name} title=${title}>
              <div class="payload"><${Payload} payload=${data[name]} label=${title} path=${`${path}/payload`} query=${{ name }} /></div>
            </${Panel}>`,
        )}
    </div>
    <${Tabs} tabs=${TABS} active=${tab} label="Views of the instance" onChange=${(next) => setQuery({ tab: next })} />
    <${Tab}
      tab=${tab}
      id=${id}
      path=${path}
      data=${data}
      version=${version}
      why=${why}
      query=${query}
      onFork=${host?.mayWrite && !data.isEntity ? (event) => setDialog({ name: "fork", event }) : null}
    />
    ${dialog?.name === "fork" &&
    html`<${ForkDialog}
      instanceId=${id}
      path=${path}
      event=${dialog.event}
      onForked=${(forked) => navigate(["instances", forked])}
      onClose=${() => setDialog(null)}
    />`}
    ${dialog?.name === "record" && html`<${RecordDialog} instanceId=${id} path=${path} onClose=${() => setDialog(null)} />`}
    ${dialog?.name === "start" &&
    html`<${StartDialog}
      orchestrators=${[]}
      from=${{ name: data.name, input }}
      onStarted=${(started) => navigate(["instances", started])}
      onClose=${() => setDialog(null)}
    />`}
    ${dialog?.name === "raise" &&
    html`<${RaiseDialog} instanceId=${id} awaited=${awaitedEvents(why, data)} onDone=${update} onClose=${() => setDialog(null)} />`}
    ${dialog?.name === "commands" &&
    html`<${CopyDialog} data=${data} input=${input} onClose=${() => setDialog(null)} />`}
    ${dialog && ACTIONS[dialog.name] &&
    html`<${RunDialog}
      action=${ACTIONS[dialog.name]}
      instances=${[{ instanceId: id, status: data.status }]}
      onDone=${done}
      onClose=${() => setDialog(null)}
    />`}
  `;
}

/** Load an endpoint, and load it again when `version` changes; the old data stays meanwhile. */
function useLive(path, query, version, options) {
  const loaded = useData(path, query, options);
  const first = useRef(version);
  useEffect(() => {
    if (version !== first.current) loaded.reload();
    first.current = version;
  }, [version]);
  return loaded;
}

/** Why the instance does not progress; null if it has ended or it is not known. */
function useWhy(id, version, data) {
  const wanted = data && !data.isEntity && !ended(data.status);
  // "It runs for 3 s" changes with the time alone, and an answer during an episode does not say where it waits.
  const { data: why } = useLive(wanted ? `why/${encodeURIComponent(id)}` : null, {}, version, { every: 5000 });
  return why;
}

/** Names of events for which the instance waits, and of those that it has received. */
const awaitedEvents = (why, data) => [
  ...new Set([...(why?.causes ?? []).map(({ event }) => event).filter(Boolean), ...data.raised]),
];

function Why({ why }) {
  const [all, setAll] = useState(false);
  // One fact for each task of a fan-out would push the timeline out of view.
  const [facts, advice] = [why.facts ?? [], why.advice ?? []];
  const most = all ? Infinity : MOST_FACTS;
  const hidden = Math.max(facts.length - most, 0) + Math.max(advice.length - most, 0);
  return html`<section class=${`why ${why.severity ?? ""}`} aria-label="Why it does not progress">
    <strong>${why.summary}</strong>
    ${facts.slice(0, most).map((fact) => html`<div key=${fact}>${fact}</div>`)}
    ${advice.slice(0, most).map((text) => html`<div key=${text} class="muted">What to do: ${text}</div>`)}
    ${hidden > 0 && html`<div><button type="button" class="link" onClick=${() => setAll(true)}>Show ${plural(hidden, "more line")}</button></div>`}
  </section>`;
}

function Actions({ data, onChoose }) {
  if (data.isEntity) return null;
  const open = !ended(data.status);
  return html`
    ${open && html`<${Button} kind="primary" onClick=${() => onChoose({ name: "raise" })}>Raise event</${Button}>`}
    ${["suspend", "resume", "rewind", "restart", "terminate", "purge"]
      .filter((name) => ACTIONS[name].allowed(data.status) && !(open && name === "restart"))
      .map(
        (name) =>
          html`<${Button} key=${name} kind=${ACTIONS[name].danger ? "danger" : ""} onClick=${() => onChoose({ name })}>
            ${ACTIONS[name].title}
          </${Button}>`,
      )}
    <${Button} title="Start another instance, with this input to edit" onClick=${() => onChoose({ name: "start" })}>Start again …</${Button}>
  `;
}

function Status({ data }) {
  const created = Date.parse(data.createdAt);
  const end = data.completedAt && ended(data.status) ? Date.parse(data.completedAt) : null;
  const isNext = data.beganAt && Date.parse(data.beganAt) - created > 1000 && !data.isEntity;
  return html`<${Facts}
    items=${[
      ["Created", html`<${RelativeTime} time=${data.createdAt} />`],
      ["Updated", html`<${RelativeTime} time=${data.updatedAt} />`],
      data.scheduledAt && ["Scheduled start", html`<${RelativeTime} time=${data.scheduledAt} />`],
      isNext && ["Began", html`<${RelativeTime} time=${data.beganAt} /> <span class="muted">(the execution that is shown; before it the instance waited, or continued as new)</span>`],
      ["Duration", end ? duration(end - created) : null],
      ["History", data.historyError ?? `${plural(data.events, "event")}, ${plural(data.episodes, "episode")}`],
      data.children.length > 0 && ["Children", html`<${Children} list=${data.children} />`],
      data.raised.length > 0 && ["Events", [...new Set(data.raised)].join(", ")],
      data.version && ["Version", data.version],
      data.tags && Object.keys(data.tags).length > 0 && ["Tags", Object.entries(data.tags).map(([name, value]) => `${name}=${value}`).join(", ")],
      ["Execution", html`<div class="mono ellipsis" title=${data.executionId}>${data.executionId}</div>`],
    ]}
  />`;
}

function Children({ list }) {
  const [all, setAll] = useState(false);
  return html`<span class="children">
    ${(all ? list : list.slice(0, 4)).map(
      ({ instanceId, name }) => html`<a key=${instanceId} class="mono ellipsis" title=${`${name} ${instanceId}`} href=${address(["instances", instanceId])}>${instanceId}</a>`,
    )}
    ${!all && list.length > 4 && html`<button type="button" class="link" onClick=${() => setAll(true)}>and ${count(list.length - 4)} more</button>`}
  </span>`;
}

function Tab({ tab, id, path, data, version, why, query, onFork }) {
  switch (tab) {
    case "history":
      return html`<${History} path=${path} version=${version} onFork=${onFork} />`;
    case "sequence":
      return html`<${SequenceDiagram} path=${path} />`;
    case "logs":
      return html`<section class="panel">
        <${LogLines}
          filter=${{ instance: id, replay: "false" }}
          empty=${html`<${Empty} title="No lines of this instance">The host keeps the lines of its own run only, the last 20,000.</${Empty}>`}
        />
      </section>`;
    case "source":
      return html`<${Source} path=${path} why=${why} />`;
    case "rows":
      return html`<${Rows} path=${path} version=${version} />`;
    case "comparison":
      return html`<${Comparison} path=${path} id=${id} name=${data.name} other=${query.with ?? ""} />`;
    default:
      return html`<${LiveTimeline} id=${id} path=${path} version=${version} why=${why} hasEnded=${ended(data.status)} />`;
  }
}

function LiveTimeline({ id, path, version, why, hasEnded }) {
  // An activity that begins to run changes no row, and the open tasks grow with the time.
  const { data, error, reload } = useLive(`${path}/timeline`, {}, version, hasEnded ? {} : { live: true, every: 5000, pause: 1500 });
  const awaited = useMemo(() => {
    const causes = hasEnded ? [] : (why?.causes ?? []);
    return causes.filter(({ event, instanceId }) => event && (!instanceId || instanceId === id));
  }, [why, id, hasEnded]);
  if (!data) return error ? html`<${ErrorBox} error=${error} onRetry=${reload} />` : html`<${Loading} />`;
  return html`<${Timeline} instanceId=${id} data=${data} awaited=${awaited} />`;
}

function Source({ path, why }) {
  // The wait may be in a helper of the orchestrator.
  const places = [...new Set((why?.causes ?? []).filter(({ file, line }) => file && line).map(({ file, line }) => `${file}:${line}`))].join(",");
  const { data, error, reload } = useData(`${path}/source`, places ? { places } : {});
  if (!data) {
    if (!error) return html`<${Loading} />`;
    return error.status === 404 ? html`<${Empty} title="The source is not available">${error.message}</${Empty}>` : html`<${ErrorBox} error=${error} onRetry=${reload} />`;
  }
  const marked = new Map();
  for (const { file, line, text } of why?.causes ?? []) {
    if (line && file && (file === data.file || file.endsWith(`/${data.file}`) || data.file.endsWith(`/${file}`))) marked.set(line, text);
  }
  return html`<section class="panel">
    <header><h2 class="mono">${data.file}:${data.firstLine}</h2></header>
    <div class="source" tabindex="0" aria-label=${`Source of ${data.file}`}>
      ${data.lines.map((line, index) => {
        const number = data.firstLine + index;
        const note = marked.get(number);
        return html`<div key=${number} class=${marked.has(number) ? "line current" : "line"}>
          <span class="line-number">${number}</span><code>${line || " "}</code>${note && html`<span class="note">◂ ${note}</span>`}
        </div>`;
      })}
    </div>
    ${!marked.size && html`<div class="body muted">The dashboard shows the source as it is now, which may be newer than the run.</div>`}
  </section>`;
}

function Rows({ path, version }) {
  const [limit, setLimit] = useState(300);
  const [open, setOpen] = useState(new Set());
  const { data, error, reload } = useLive(`${path}/rows`, { limit }, version);
  if (!data) return error ? html`<${ErrorBox} error=${error} onRetry=${reload} />` : html`<${Loading} />`;
  const toggle = ({ rowKey }) =>
    setOpen((old) => {
      const next = new Set(old);
      if (!next.delete(rowKey)) next.add(rowKey);
      return next;
    });
  return html`<div class="stack">
    <${Panel} title=${`Table ${data.instancesTable}`}>
      ${data.status ? html`<${JsonView} value=${whole(data.status)} label="Status row" />` : html`<${Message}>There is no status row.</${Message}>`}
    </${Panel}>
    <${Panel} title=${`Table ${data.historyTable}: ${plural(data.history.length, "row")}${data.isCut ? " and more" : ""}`} flush>
      <${Table}
        label="Rows of the history"
        rows=${data.history}
        rowKey=${({ rowKey }) => rowKey}
        onRow=${toggle}
        expanded=${(row) => open.has(row.rowKey) && html`<${JsonView} value=${whole(row)} label="Row" />`}
        empty=${html`<${Empty} title="The instance has no history" />`}
        columns=${[
          { key: "rowKey", title: "RowKey", render: ({ rowKey }) => html`<span class="mono">${rowKey}</span>` },
          { key: "type", title: "EventType", render: ({ columns }) => columns.EventType ?? "" },
          { key: "name", title: "Name", render: ({ columns }) => columns.Name ?? "" },
          { key: "id", title: "EventId", align: "right", render: ({ columns }) => columns.EventId ?? "" },
          { key: "execution", title: "ExecutionId", render: ({ columns }) => html`<span class="mono">${columns.ExecutionId}</span>` },
        ]}
      />
    </${Panel}>
    ${data.isCut && html`<div class="pages"><${Button} onClick=${() => setLimit(Math.min(limit * 4, 5000))}>Show more rows</${Button}></div>`}
  </div>`;
}

const whole = ({ partitionKey, rowKey, timestamp, etag, columns }) => ({
  PartitionKey: partitionKey,
  RowKey: rowKey,
  Timestamp: timestamp,
  ETag: etag,
  ...columns,
});

function CopyDialog({ data, input, onClose }) {
  const output = data.status === "Completed" && data.output && data.output.length < 20000 ? data.output.text : null;
  return html`<${Dialog} title="Copy as" wide onClose=${onClose}>
    <div>
      <h3>Address of this page</h3>
      <div class="json"><pre>${location.href}</pre><${CopyButton} text=${location.href} /></div>
    </div>
    <h2>Look at this instance</h2>
    <${Commands} commands=${statusCommands(data.instanceId)} open />
    ${!data.isEntity &&
    html`<h2>Start ${data.name} with the same input</h2>
      <${Commands} commands=${startCommands(data.name, input, "", output)} open />`}
  </${Dialog}>`;
}
