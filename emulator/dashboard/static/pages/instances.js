// Instances: a list that the host filters, sorts and keeps up to date, with actions on the selected ones.

import { html, useEffect, useRef, useState } from "../html.js";
import { apiUrl, get, request } from "../api.js";
import { onceAtATime, useData } from "../data.js";
import { follow } from "../events.js";
import { count, duration, plural } from "../format.js";
import { answersOfLoader, isOutage } from "../outages.js";
import { address, navigate, setQuery } from "../router.js";
import { Button, Empty, ErrorBox, Loading, Message, PageHead, RelativeTime, SearchField, StatusBadge } from "../components/basics.js";
import { Table } from "../components/table.js";
import { toast } from "../components/toast.js";
import { RunDialog, StartDialog, useHost } from "../durable/dialogs.js";
import { ACTIONS, ended } from "../durable/management.js";

const PAGE = 50;
const STATUSES = ["Running", "Pending", "Suspended", "Completed", "Failed", "Terminated", "Canceled", "ContinuedAsNew"];
const PERIODS = { "": "any time", 15: "last 15 minutes", 60: "last hour", 1440: "last 24 hours", 10080: "last 7 days" };
const MOST_SELECTED = 10000;
const LONGEST_SILENCE = 10000;
const MOST_EXPLAINED = 100;

export default function InstancesPage({ query }) {
  const host = useHost();
  const filter = filterOf(query);
  const skip = Number(query.skip) || 0;
  const sort = { key: query.sort ?? "updated", descending: query.order !== "asc" };
  const listing = useListing({ ...filter, sort: sort.key, order: sort.descending ? "desc" : "asc", skip, limit: PAGE });
  const [selected, setSelected] = useState(new Set());
  const [dialog, setDialog] = useState(null);
  const [search, setSearch] = useState(null);
  const known = useRef(new Map());
  const { data, error } = listing;
  data?.instances.forEach((instance) => known.current.set(instance.instanceId, instance));

  const change = (changes) => {
    setSelected(new Set());
    setSearch(null);
    setQuery({ skip: "", ...changes });
  };
  const order = (key) =>
    setQuery({ skip: "", sort: key, order: sort.key === key && sort.descending ? "asc" : "desc" });
  const selectAll = async () => {
    const all = new Set();
    for (let from = 0; from < Math.min(data.total, MOST_SELECTED); from += 500) {
      const page = await get("instances", { ...filter, sort: "id", order: "asc", skip: from, limit: 500 });
      page.instances.forEach((instance) => {
        known.current.set(instance.instanceId, instance);
        all.add(instance.instanceId);
      });
    }
    setSelected(all);
  };
  const instances = [...selected].map((id) => known.current.get(id)).filter(Boolean);
  const done = (results) => {
    setSelected(new Set());
    listing.reload({ reread: results.length > 0 });
  };

  if (host && !host.taskHub) return html`<${NotDurable} title="Instances" host=${host} />`;
  return html`
    <${PageHead}
      title="Instances"
      subtitle=${host && `Task hub ${host.taskHub}`}
      actions=${html`<${Button}
          aria-pressed=${query.view === "why"}
          title="Explain the instances that have not ended"
          onClick=${() => setQuery({ view: query.view === "why" ? "" : "why" })}
        >Why waiting?</${Button}>
        ${host?.mayWrite &&
        html`<${Button} kind="primary" icon="play" onClick=${() => setDialog({ kind: "start" })}>Start</${Button}>`}`}
    />
    ${host && !host.mayWrite && html`<${ReadOnly} />`}
    <${Filters} query=${query} data=${data} onChange=${change} onSearch=${setSearch} />
    ${selected.size > 0 &&
    html`<div class="selection" role="region" aria-label="Selected instances">
      <strong>${count(selected.size)} selected</strong>
      ${data && selected.size < data.total && selected.size < MOST_SELECTED &&
      html`<button type="button" class="link" onClick=${selectAll}>Select all ${count(Math.min(data.total, MOST_SELECTED))}</button>`}
      ${host?.mayWrite &&
      Object.entries(ACTIONS).map(
        ([name, action]) =>
          html`<${Button}
            key=${name}
            kind=${action.danger ? "danger" : ""}
            disabled=${!instances.some(({ status }) => action.allowed(status))}
            onClick=${() => setDialog({ kind: "run", action })}
          >${action.title}</${Button}>`,
      )}
      <button type="button" class="link" onClick=${() => setSelected(new Set())}>Clear</button>
    </div>`}
    ${error && !(data && isOutage(error)) && html`<${ErrorBox} error=${error} onRetry=${() => listing.reload()} />`}
    ${data && !data.isComplete &&
    html`<div class="muted" role="status">Reading the task hub: ${count(data.read)} instances so far …</div>`}
    ${data?.isCut &&
    html`<${Message} kind="warning">
      The task hub has more instances than are listed (${count(data.read)}). Those with greater ids are missing.
    </${Message}>`}
    ${search
      ? html`<${PayloadSearch} key=${search} text=${search} filter=${filter} onClose=${() => setSearch(null)} />`
      : query.view === "why"
      ? html`<${Waiting} onClose=${() => setQuery({ view: "" })} />`
      : data
        ? html`<section class="panel">
            <${InstanceTable}
              rows=${data.instances}
              selected=${host?.mayWrite ? selected : undefined}
              onSelect=${setSelected}
              ordered=${sort}
              onOrder=${order}
              empty=${html`<${NothingFound} filter=${filter} isComplete=${data.isComplete} onReset=${() => navigate(["instances"])} />`}
            />
          </section>
          <${Pages} skip=${skip} total=${data.total} shown=${data.instances.length} />`
        : !error && html`<${Loading} />`}
    ${dialog?.kind === "start" &&
    html`<${StartDialog}
      orchestrators=${data?.orchestrators ?? []}
      onStarted=${(id) => navigate(["instances", id])}
      onClose=${() => setDialog(null)}
    />`}
    ${dialog?.kind === "run" &&
    html`<${RunDialog} action=${dialog.action} instances=${instances} onDone=${done} onClose=${() => setDialog(null)} />`}
  `;
}

/** The page of an app without Durable Functions. `host`: of useHost. */
export const NotDurable = ({ title, host }) =>
  html`<${PageHead} title=${title} />
    <section class="panel">
      ${host.errors.length
        ? html`<${Empty} title="The app could not be loaded">
            The page opens when the error is corrected. <a href=${address([])}>Show the error</a>
          </${Empty}>`
        : html`<${Empty} title="The app has no durable functions">
            <code>azemu new orchestrator NAME</code> and <code>azemu new entity NAME</code> add some; <code>azemu new --list</code> shows
            all templates.
          </${Empty}>`}
    </section>`;

export const ReadOnly = () =>
  html`<${Message}>
    This task hub is in an account that is not on this machine, so the dashboard only reads it. Start azemu with
    <code>--dashboard-writes</code> to allow actions.
  </${Message}>`;

function filterOf(query) {
  const { status, name, text, roots, period, from, to, prefix } = query;
  // Whole minutes, so that the address of the request is the same for a while.
  const since = period ? new Date(Math.floor(Date.now() / 60000) * 60000 - period * 60000).toISOString() : "";
  const utc = (local) => (local ? new Date(local).toISOString() : "");
  return { status, name, text, roots, prefix, from: utc(from) || since, to: utc(to) };
}

/** Load a page of the list, keep the old rows meanwhile, and load it again when the host reports changes. */
function useListing(query) {
  const [state, setState] = useState({ data: null, error: null });
  const url = apiUrl("instances", query);
  const load = useRef(null);
  const version = useRef(0);
  useEffect(() => {
    const abort = new AbortController();
    const answers = answersOfLoader();
    let reread = false;
    const read = onceAtATime(async () => {
      const target = reread ? `${url}&reread=true` : url;
      reread = false;
      answers.asked();
      try {
        const data = await (await request(target, { signal: abort.signal })).json();
        version.current = data.version;
        answers.answered();
        setState({ data, error: null });
      } catch (error) {
        if (abort.signal.aborted) return;
        answers.answered(error);
        setState((old) => ({ ...old, error }));
      }
    }, abort.signal);
    load.current = (options) => {
      // Kept for the next run if one is under way, which does not know of the deletion.
      reread ||= options?.reread ?? false;
      read();
    };
    load.current();
    // One stream that says only that something has changed: the host reads what is new once for all viewers.
    const stop = follow("instances-changes", () => ({ version: version.current }), {
      onEvent: (event) => {
        if (event.version !== version.current && !document.hidden) load.current();
      },
    });
    const onShow = () => document.hidden || load.current();
    document.addEventListener("visibilitychange", onShow);
    // The stream is silent both when nothing changes and when the storage does not respond.
    const timer = setInterval(onShow, LONGEST_SILENCE);
    return () => {
      abort.abort();
      answers.ended();
      clearInterval(timer);
      stop();
      document.removeEventListener("visibilitychange", onShow);
    };
  }, [url]);
  return { ...state, reload: (options) => load.current?.(options) };
}

function Filters({ query, data, onChange, onSearch }) {
  const known = { text: query.text ?? "", prefix: query.prefix ?? "" };
  const [typed, setTyped] = useState(known);
  const pause = useRef(null);
  useEffect(() => setTyped(known), [known.text, known.prefix]);
  useEffect(() => () => clearTimeout(pause.current), []);
  // Each filter is a request, so not one for each key.
  const type = (change) => {
    const all = { ...typed, ...change };
    setTyped(all);
    clearTimeout(pause.current);
    pause.current = setTimeout(() => onChange(all), 200);
  };
  const search = () => {
    // Passed on later, the texts would count as a change of the filter, which ends the search.
    clearTimeout(pause.current);
    onChange(typed);
    onSearch(typed.text.trim());
  };
  const chosen = new Set((query.status ?? "").split(",").filter(Boolean));
  const toggle = (status) => {
    const next = new Set(chosen);
    if (!next.delete(status)) next.add(status);
    onChange({ status: [...next].join(",") });
  };
  const counts = data?.counts ?? {};
  const names = [...new Set([...(data?.names ?? []), ...(query.name ? [query.name] : [])])];
  const custom = Boolean(query.from || query.to);
  const [showsTimes, setShowsTimes] = useState(custom);
  return html`<div class="filters">
    <div class="toolbar">
      <${SearchField} value=${typed.text} onInput=${(text) => type({ text })} placeholder="Id or name" label="Search ids and names" />
      <input
        type="text"
        class="mono"
        size="8"
        spellcheck="false"
        placeholder="Id prefix"
        aria-label="Beginning of the id"
        title="Only instances whose id begins with this text, in the same letter case"
        value=${typed.prefix}
        onInput=${(event) => type({ prefix: event.currentTarget.value })}
      />
      <${Button}
        disabled=${!typed.text.trim()}
        title="Search inputs, outputs and custom statuses, too. This reads the whole table."
        onClick=${search}
      >Search payloads</${Button}>
      <select aria-label="Orchestrator" value=${query.name ?? ""} onChange=${(event) => onChange({ name: event.currentTarget.value })}>
        <option value="">all orchestrators</option>
        ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
      </select>
      <select
        aria-label="Created"
        value=${showsTimes ? "custom" : (query.period ?? "")}
        onChange=${({ currentTarget: { value } }) => {
          setShowsTimes(value === "custom");
          onChange({ period: value === "custom" ? "" : value, from: "", to: "" });
        }}
      >
        ${Object.entries(PERIODS).map(([minutes, title]) => html`<option key=${minutes} value=${minutes}>created ${title}</option>`)}
        <option value="custom">created between …</option>
      </select>
      <label class="check">
        <input
          type="checkbox"
          checked=${query.roots === "true"}
          onChange=${(event) => onChange({ roots: event.currentTarget.checked ? "true" : "" })}
        />
        hide sub-orchestrations
      </label>
    </div>
    ${showsTimes &&
    html`<div class="toolbar">
      ${["from", "to"].map(
        (bound) =>
          html`<label key=${bound} class="check">
            ${bound}
            <input type="datetime-local" value=${query[bound] ?? ""} onChange=${(event) => onChange({ [bound]: event.currentTarget.value })} />
          </label>`,
      )}
    </div>`}
    <div class="chips" role="group" aria-label="Status">
      ${STATUSES.filter((status) => counts[status] || chosen.has(status)).map(
        (status) =>
          html`<button
            key=${status}
            type="button"
            class="chip"
            aria-pressed=${chosen.has(status)}
            onClick=${() => toggle(status)}
          ><${StatusBadge} status=${status} /><span class="muted">${count(counts[status] ?? 0)}</span></button>`,
      )}
    </div>
  </div>`;
}

const COLUMNS = [
  {
    key: "id",
    title: "Instance",
    render: ({ instanceId, parent }) =>
      html`<div class="instance-id">
        <a class="mono ellipsis" title=${instanceId} href=${address(["instances", instanceId])}>${instanceId}</a>
        ${parent && html`<div class="muted parent below ellipsis">part of <a title=${parent} href=${address(["instances", parent])}>${parent}</a></div>`}
      </div>`,
  },
  { key: "name", title: "Orchestrator" },
  { key: "status", title: "Status", render: ({ status }) => html`<${StatusBadge} status=${status} />` },
  { key: "created", title: "Created", render: ({ createdAt }) => html`<span class="nowrap"><${RelativeTime} time=${createdAt} /></span>` },
  { key: "updated", title: "Updated", render: ({ updatedAt }) => html`<span class="nowrap"><${RelativeTime} time=${updatedAt} /></span>` },
  {
    key: "duration",
    title: "Duration",
    align: "right",
    render: ({ status, createdAt, completedAt }) =>
      ended(status) && completedAt ? html`<span class="nowrap">${duration(Date.parse(completedAt) - Date.parse(createdAt))}</span>` : "",
  },
];

const InstanceTable = ({ rows, columns = COLUMNS, ...others }) =>
  html`<${Table}
    label="Instances"
    columns=${columns}
    rows=${rows}
    rowKey=${({ instanceId }) => instanceId}
    onRow=${({ instanceId }) => navigate(["instances", instanceId])}
    ...${others}
  />`;

function NothingFound({ filter, isComplete, onReset }) {
  if (!isComplete) return html`<${Empty} title="Nothing found yet" />`;
  const filtered = Object.values(filter).some(Boolean);
  return filtered
    ? html`<${Empty} title="No instance matches"><button type="button" class="link" onClick=${onReset}>Reset the filter</button></${Empty}>`
    : html`<${Empty} title="No instances yet">Instances appear here when an orchestration is started.</${Empty}>`;
}

function Pages({ skip, total, shown }) {
  if (!total) return null;
  const go = (to) => setQuery({ skip: to > 0 ? to : "" });
  return html`<div class="pages">
    <span class="muted">${count(skip + 1)} to ${count(skip + shown)} of ${plural(total, "instance")}</span>
    ${total > PAGE &&
    html`<${Button} disabled=${skip === 0} onClick=${() => go(skip - PAGE)}>Previous</${Button}>
      <${Button} disabled=${skip + PAGE >= total} onClick=${() => go(skip + PAGE)}>Next</${Button}>`}
  </div>`;
}

/** Why the instances do not progress that have not ended, the most urgent first. */
function Waiting({ onClose }) {
  // Each answer replays the orchestrators, so not at every change.
  const { data, error, reload } = useData("why", { limit: MOST_EXPLAINED }, { every: 15000 });
  return html`<section class="panel">
    <header>
      <h2>Why they have not ended</h2>
      <div class="actions">
        ${data?.hasMore && html`<span class="muted">the first ${count(MOST_EXPLAINED)}</span>`}
        <${Button} onClick=${onClose}>All instances</${Button}>
      </div>
    </header>
    ${data
      ? html`<${Table}
          label="Waiting instances"
          blocks
          columns=${[
            COLUMNS[0],
            { key: "name", title: "Orchestrator" },
            {
              key: "why",
              title: "Why",
              render: ({ severity, summary, advice }) =>
                html`<div>${severity === "problem" && html`<${StatusBadge} status="problem" tone="red" /> `}${summary}</div>
                  ${advice.length > 0 && html`<div class="muted below">What to do: ${advice[0]}</div>`}`,
            },
          ]}
          rows=${data.instances}
          rowKey=${({ instanceId }) => instanceId}
          onRow=${({ instanceId }) => navigate(["instances", instanceId])}
          empty=${html`<${Empty} title="All instances have ended" />`}
        />`
      : error
        ? html`<${ErrorBox} error=${error} onRetry=${reload} />`
        : html`<${Loading} />`}
  </section>`;
}

/** Results of a search in payloads, which the host sends as it finds them. Leaving the page stops the search. */
function PayloadSearch({ text, filter, onClose }) {
  const [found, setFound] = useState([]);
  const [progress, setProgress] = useState({ searched: 0, ended: null });
  const stop = useRef(() => {});
  useEffect(() => {
    const { text: ignored, ...others } = filter;
    stop.current = follow("instances-search", { ...others, payload: text }, {
      hasEnd: true,
      onEvent: (event) => {
        if (event.match) setFound((old) => [...old, { ...event.match, place: event.place }]);
        else setProgress(event);
        if (event.ended) stop.current();
      },
      onState: (state, error) => {
        // A new connection searches from the beginning.
        if (state === "open") setFound([]);
        if (!error) return;
        stop.current();
        toast(error.message, "error");
      },
    });
    return () => stop.current();
  }, [text]);
  const cancel = () => {
    stop.current();
    setProgress((old) => ({ ...old, ended: "cancelled" }));
  };
  const columns = [...COLUMNS.slice(0, 3), { key: "place", title: "Found in", render: ({ place }) => PLACES[place] }, ...COLUMNS.slice(3)];
  return html`<section class="panel">
    <header>
      <h2>“${text}” in payloads</h2>
      <div class="actions">
        <span class="muted" role="status">
          ${count(found.length)} found, ${count(progress.searched)} searched${ENDS[progress.ended] ?? " …"}
        </span>
        ${progress.ended === null && html`<${Button} onClick=${cancel}>Stop</${Button}>`}
        <${Button} onClick=${onClose}>Close</${Button}>
      </div>
    </header>
    <${InstanceTable}
      rows=${found}
      columns=${columns}
      empty=${progress.ended &&
      html`<${Empty} title="Nothing found">Payloads that are so large that they are stored as blobs are not searched.</${Empty}>`}
    />
  </section>`;
}

const PLACES = { Input: "input", Output: "output", CustomStatus: "custom status" };
const ENDS = { end: "", limit: "; stopped at the first 1,000", cancelled: "; stopped" };
