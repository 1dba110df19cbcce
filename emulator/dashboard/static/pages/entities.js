// Entities: the list with states, locks and queues, one entity in full, and signals.

import { html, useEffect, useState } from "../html.js";
import { get } from "../api.js";
import { useData } from "../data.js";
import { isOutage } from "../outages.js";
import { plural } from "../format.js";
import { address, setQuery } from "../router.js";
import { Button, CopyButton, Empty, ErrorBox, Facts, Loading, PageHead, RelativeTime, SearchField, StatusBadge } from "../components/basics.js";
import { Dialog } from "../components/dialog.js";
import { JsonView } from "../components/json.js";
import { Table } from "../components/table.js";
import { attempt } from "../components/toast.js";
import { SignalDialog, useHost } from "../durable/dialogs.js";
import { decodedText, preview } from "../durable/payloads.js";
import { NotDurable, ReadOnly } from "./instances.js";

export default function EntitiesPage({ query }) {
  const host = useHost();
  const { name = "", key = "", id } = query;
  const { data, error, reload } = useData("entities", { name, key }, { live: true, pause: 1500 });
  const [more, setMore] = useState({ entities: [], continuation: undefined });
  const [dialog, setDialog] = useState(null);
  useEffect(() => setMore({ entities: [], continuation: undefined }), [name, key]);
  const continuation = more.continuation === undefined ? data?.continuation : more.continuation;
  const loadMore = async () => {
    const page = await attempt(() => get("entities", { name, key, continuation }));
    if (page) setMore((old) => ({ entities: [...old.entities, ...page.entities], continuation: page.continuation }));
  };
  const entities = [...(data?.entities ?? []), ...more.entities];
  if (host && !host.taskHub) return html`<${NotDurable} title="Entities" host=${host} />`;
  return html`
    <${PageHead}
      title="Entities"
      subtitle=${host && `Task hub ${host.taskHub}`}
      actions=${host?.mayWrite &&
      html`<${Button} kind="primary" icon="play" onClick=${() => setDialog({ entity: null })}>Signal</${Button}>`}
    />
    ${host && !host.mayWrite && html`<${ReadOnly} />`}
    <div class="toolbar">
      <${SearchField} value=${key} onInput=${(text) => setQuery({ key: text })} placeholder="Key" label="Search keys" />
      <select aria-label="Entity name" value=${name} onChange=${(event) => setQuery({ name: event.currentTarget.value })}>
        <option value="">all entities</option>
        ${[...new Set([...(data?.names ?? []).map((known) => known.toLowerCase()), name])]
          .filter(Boolean)
          .map((known) => html`<option key=${known} value=${known}>${known}</option>`)}
      </select>
    </div>
    ${error && !(data && isOutage(error)) && html`<${ErrorBox} error=${error} onRetry=${reload} />`}
    ${data
      ? html`<section class="panel">
          <${Table}
            label="Entities"
            rows=${entities}
            rowKey=${({ instanceId }) => instanceId}
            onRow=${({ instanceId }) => setQuery({ id: instanceId })}
            empty=${html`<${Empty} title=${name || key ? "No entity matches" : "No entities yet"}>
              ${!name && !key && "An entity appears here after its first operation."}
            </${Empty}>`}
            columns=${[
              { key: "name", title: "Entity", sort: (row) => row.name },
              { key: "key", title: "Key", render: (row) => html`<span class="mono">${row.key || "(empty)"}</span>`, sort: (row) => row.key },
              {
                key: "state",
                title: "State",
                render: (row) =>
                  row.exists ? html`<span class="mono">${preview(row.state) || "null"}</span>` : html`<span class="muted">deleted</span>`,
              },
              {
                key: "lockedBy",
                title: "Locked by",
                render: ({ lockedBy }) => lockedBy && html`<a class="mono" href=${address(["instances", lockedBy])}>${lockedBy}</a>`,
                sort: (row) => row.lockedBy,
              },
              {
                key: "queueLength",
                title: "Waiting",
                align: "right",
                render: ({ queueLength }) => queueLength || "",
                sort: (row) => row.queueLength,
              },
              { key: "updatedAt", title: "Last operation", render: (row) => html`<${RelativeTime} time=${row.updatedAt} />`, sort: (row) => row.updatedAt },
            ]}
          />
        </section>`
      : !error && html`<${Loading} />`}
    ${continuation && html`<div class="pages"><${Button} onClick=${loadMore}>Load more</${Button}></div>`}
    ${id &&
    !dialog &&
    html`<${EntityDialog}
      key=${id}
      id=${id}
      mayWrite=${host?.mayWrite}
      onSignal=${(entity) => setDialog({ entity })}
      onClose=${() => setQuery({ id: "" })}
    />`}
    ${dialog &&
    html`<${SignalDialog}
      entity=${dialog.entity}
      names=${data?.names ?? []}
      onDone=${reload}
      onClose=${() => setDialog(null)}
    />`}
  `;
}

function EntityDialog({ id, mayWrite, onSignal, onClose }) {
  const { data, error, reload } = useData("entity", { id }, { live: true, pause: 1500 });
  return html`<${Dialog}
    title=${id}
    wide
    onClose=${onClose}
    actions=${html`<a class="button" href=${address(["instances", id])}>Show the instance</a>
      ${mayWrite && data && html`<${Button} kind="primary" onClick=${() => onSignal(data)}>Signal</${Button}>`}`}
  >
    ${error && html`<${ErrorBox} error=${error} onRetry=${reload} />`}
    ${data
      ? html`<${Facts}
            items=${[
              ["Id", html`<span class="mono">${data.instanceId}</span> <${CopyButton} text=${data.instanceId} label="Copy the id" />`],
              ["Exists", data.exists ? "yes" : "no, it was deleted"],
              ["Last operation", html`<${RelativeTime} time=${data.updatedAt} />`],
              ["Locked by", data.lockedBy && html`<a href=${address(["instances", data.lockedBy])}>${data.lockedBy}</a>`],
            ]}
          />
          <div>
            <h3>State</h3>
            ${data.state ? html`<${JsonView} text=${decodedText(data.state.text)} label="State" />` : html`<span class="muted">none</span>`}
          </div>
          ${data.queueLength > 0 &&
          html`<div>
            <h3>${plural(data.queueLength, "waiting operation")}</h3>
            <${Table}
              label="Waiting operations"
              rows=${data.queue.map((request, index) => ({ ...request, index }))}
              rowKey=${({ index }) => index}
              columns=${[
                { key: "operation", title: "Operation" },
                { key: "isSignal", title: "Kind", render: ({ isSignal }) => html`<${StatusBadge} status=${isSignal ? "signal" : "call"} />` },
                { key: "parent", title: "From", render: ({ parent }) => parent && html`<a href=${address(["instances", parent])}>${parent}</a>` },
                { key: "input", title: "Input", render: ({ input }) => html`<span class="mono">${input}</span>` },
              ]}
            />
          </div>`}`
      : !error && html`<${Loading} />`}
  </${Dialog}>`;
}
