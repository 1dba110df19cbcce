// One queue with its messages, one table with its rows, or one container with its blobs.

import { html, useEffect, useState } from "../html.js";
import { apiUrl, get, request, send } from "../api.js";
import { useData } from "../data.js";
import { Button, Empty, ErrorBox, Facts, IconButton, Loading, Message, PageHead, Panel, RelativeTime, SearchField, StatusBadge } from "../components/basics.js";
import { Dialog, confirm } from "../components/dialog.js";
import { JsonView } from "../components/json.js";
import { Table } from "../components/table.js";
import { attempt } from "../components/toast.js";
import { clockTime, count, plural, size } from "../format.js";
import { address, setQuery } from "../router.js";

const PAGES = { queues: QueuePage, tables: TablePage, blobs: ContainerPage };
const TITLES = { queues: "Queues", tables: "Tables", blobs: "Blob containers" };

export default function StorageItemPage({ params, query }) {
  const Page = PAGES[params.kind];
  const connections = useData("storage/connections");
  if (!Page) return html`<${ErrorBox} error=${{ message: `There is no kind of storage "${params.kind}".` }} />`;
  const known = connections.data?.connections ?? [];
  const account = known.find(({ name }) => name === query.connection) ?? known[0];
  const back = html`<a href=${address(["storage"], { tab: params.kind, connection: query.connection })}>${TITLES[params.kind]}</a>`;
  return html`<${Page}
    key=${`${params.kind} ${params.name}`}
    name=${params.name}
    query=${query}
    connection=${query.connection ?? ""}
    subtitle=${html`${back} ${account && html`· ${account.description}`} ${account && !account.mayWrite && html`<${StatusBadge} status="read only" tone="yellow" />`}`}
    mayWrite=${account?.mayWrite ?? false}
  />`;
}

/** Instead of what could not be read. A missing queue is no fault: poison queues exist only after a first message. */
const NotRead = ({ error, name, onRetry }) =>
  error.status === 404
    ? html`<${Empty} title=${`The account has no ${name} now`}><button type="button" class="link" onClick=${onRetry}>Look again</button></${Empty}>`
    : html`<${ErrorBox} error=${error} onRetry=${onRetry} />`;

// Queues -----------------------------------------------------------------------------------------------------------

function QueuePage({ name, connection, subtitle, mayWrite }) {
  const path = `storage/queues/${encodeURIComponent(name)}`;
  const { data, error, reload } = useData(`${path}/messages`, { connection }, { live: true, every: 4000, pause: 1000 });
  const [open, setOpen] = useState(null);
  const [adding, setAdding] = useState(false);
  const change = async (work, done) => {
    await attempt(work, done);
    reload();
  };
  const requeue = (id) =>
    change(
      () => send("POST", `${path}/requeue`, id ? { id } : {}, { connection }),
      ({ moved, queue }) => `${plural(moved, "message")} moved to ${queue}.`,
    );
  const remove = async (message) => {
    const text = "The message is deleted and cannot be restored. Messages before it in the queue are received for a moment, which raises their dequeue counts by one.";
    if (await confirm({ title: "Delete this message?", text, action: "Delete", danger: true })) {
      await change(() => send("DELETE", `${path}/messages/${encodeURIComponent(message.id)}`, undefined, { connection }), "Message deleted.");
    }
  };
  const columns = [
    {
      key: "text",
      title: "Message",
      render: (message) =>
        message.summary
          ? html`<strong>${message.summary.event}</strong> ${message.summary.name ?? ""} <span class="mono muted">${message.summary.instanceId ?? ""}</span>`
          : html`<span class="one-line mono">${message.text}</span>`,
    },
    { key: "inserted", title: "Inserted", render: ({ insertedAt }) => html`<span class="nowrap"><${RelativeTime} time=${insertedAt} /></span>` },
    { key: "count", title: "Dequeued", align: "right", render: ({ dequeueCount }) => dequeueCount },
    mayWrite && {
      key: "actions",
      title: "",
      label: "Actions",
      align: "right",
      render: (message) =>
        html`<span class="nowrap">
          ${data.canRequeue && html`<${IconButton} icon="refresh" label="Move back to its queue" onClick=${() => requeue(message.id)} />`}
          ${data.canDelete && html`<${IconButton} icon="trash" label="Delete the message" onClick=${() => remove(message)} />`}
        </span>`,
    },
  ].filter(Boolean);
  return html`
    <${PageHead}
      title=${name}
      subtitle=${subtitle}
      actions=${mayWrite &&
      data &&
      html`
        ${data.canRequeue && data.count > 0 && html`<${Button} icon="refresh" onClick=${() => requeue(null)}>Move all back</${Button}>`}
        ${data.canDelete && html`<${Button} icon="queue" onClick=${() => setAdding(true)}>Put a message</${Button}>`}
      `}
    />
    ${error && !data && html`<${NotRead} error=${error} name=${name} onRetry=${reload} />`}
    ${!data && !error && html`<${Loading} />`}
    ${data &&
    html`
      <p class="muted">
        ${plural(data.count, "message")} in the queue, ${count(data.messages.length)} of them visible (at most 32 are shown).
      </p>
      <${Panel} flush>
        <${Table}
          label="Messages"
          columns=${columns}
          rows=${data.messages}
          rowKey=${({ id }) => id}
          onRow=${({ id }) => setOpen(open === id ? null : id)}
          expanded=${(message) => open === message.id && html`<${MessageDetails} message=${message} />`}
          empty=${html`<${Empty} title="No visible messages">Messages that a host is processing, and those of timers that are not due yet, are hidden.</${Empty}>`}
        />
      </${Panel}>
    `}
    ${adding &&
    html`<${PutDialog}
      queue=${name}
      onClose=${() => setAdding(false)}
      onPut=${async (text) => {
        setAdding(false);
        await change(() => send("POST", `${path}/messages`, { text }, { connection }), "Message put.");
      }}
    />`}
  `;
}

const MessageDetails = ({ message }) =>
  html`<div class="stack">
    <${Facts}
      items=${[
        ["Id", html`<span class="mono">${message.id}</span>`],
        ["Inserted", clockTime(message.insertedAt)],
        ["Expires", message.expiresAt ? clockTime(message.expiresAt) : "never"],
        ["Encoding", message.isBase64 ? "base64" : "plain text"],
        message.summary?.instanceId && [
          "Instance",
          html`<a class="mono" href=${address(["instances", message.summary.instanceId])}>${message.summary.instanceId}</a>`,
        ],
      ]}
    />
    <${JsonView} text=${message.text} label="Message" />
  </div>`;

function PutDialog({ queue, onClose, onPut }) {
  const [text, setText] = useState("");
  return html`<${Dialog}
    title=${`Put a message into ${queue}`}
    onClose=${onClose}
    onSubmit=${() => onPut(text)}
    actions=${html`<${Button} onClick=${onClose}>Cancel</${Button}><${Button} kind="primary" onClick=${() => onPut(text)}>Put</${Button}>`}
  >
    <label class="field">
      <span>Text, in the encoding of host.json</span>
      <textarea spellcheck="false" value=${text} onInput=${(event) => setText(event.currentTarget.value)}></textarea>
    </label>
  </${Dialog}>`;
}

// Tables -----------------------------------------------------------------------------------------------------------

const KEYS = ["PartitionKey", "RowKey", "Timestamp"];
const MAX_COLUMNS = 12;

function TablePage({ name, connection, subtitle, query }) {
  const path = `storage/tables/${encodeURIComponent(name)}/rows`;
  const [filter, setFilter] = useState(query.filter ?? "");
  const { data, error, reload } = useData(path, { connection, filter: query.filter });
  const [more, setMore] = useState({ rows: [], continuation: null });
  const [open, setOpen] = useState(null);
  useEffect(() => setMore({ rows: [], continuation: data?.continuation ?? null }), [data]);
  const rows = [...(data?.rows ?? []), ...more.rows];
  const loadMore = async () => {
    const page = await attempt(() => get(path, { connection, filter: query.filter, continuation: more.continuation }));
    if (page) setMore({ rows: [...more.rows, ...page.rows], continuation: page.continuation });
  };
  const names = [...new Set([...KEYS, ...rows.flatMap(Object.keys)])];
  const keyOf = (row) => JSON.stringify([row.PartitionKey, row.RowKey]);
  return html`
    <${PageHead} title=${name} subtitle=${subtitle} actions=${html`<${Button} icon="refresh" onClick=${reload}>Reload</${Button}>`} />
    <form class="toolbar" onSubmit=${(event) => { event.preventDefault(); setQuery({ filter }); }}>
      <${SearchField} value=${filter} label="Filter (OData)" placeholder="Name eq 'x' and Age ge 20" onInput=${setFilter} class="wide mono" />
      <${Button} type="submit">Filter</${Button}>
    </form>
    ${error && html`<${NotRead} error=${error} name=${name} onRetry=${reload} />`}
    ${!data && !error && html`<${Loading} />`}
    ${data &&
    html`
      <${Panel} flush>
        <${Table}
          label="Rows"
          columns=${names.slice(0, MAX_COLUMNS).map((column) => ({
            key: column,
            title: column,
            render: (row) => html`<${Cell} value=${row[column]} isTime=${column === "Timestamp"} />`,
          }))}
          rows=${rows}
          rowKey=${keyOf}
          onRow=${(row) => setOpen(open === keyOf(row) ? null : keyOf(row))}
          expanded=${(row) => open === keyOf(row) && html`<${JsonView} value=${row} label="Row" />`}
          empty=${html`<${Empty} title=${query.filter ? "No row matches the filter" : "The table has no rows"} />`}
        />
      </${Panel}>
      <div class="row">
        <span class="muted">${plural(rows.length, "row")}${more.continuation ? ", and more" : ""}</span>
        ${more.continuation && html`<${Button} icon="down" onClick=${loadMore}>More rows</${Button}>`}
        ${names.length > MAX_COLUMNS && html`<span class="muted">Rows open to show all ${names.length} columns.</span>`}
      </div>
    `}
  `;
}

function Cell({ value, isTime }) {
  if (value === undefined || value === null) return html`<span class="muted">–</span>`;
  if (isTime) return html`<span class="nowrap"><${RelativeTime} time=${value} /></span>`;
  // Keys and times are told apart by their ends, so only long texts are cut.
  if (String(value).length <= 36) return html`<span class="nowrap mono">${String(value)}</span>`;
  return html`<span class="one-line mono" title=${String(value).slice(0, 500)}>${String(value).slice(0, 300)}</span>`;
}

// Blobs ------------------------------------------------------------------------------------------------------------

function ContainerPage({ name, connection, subtitle, query }) {
  const path = `storage/containers/${encodeURIComponent(name)}`;
  const prefix = query.prefix ?? "";
  const { data, error, reload } = useData(`${path}/blobs`, { connection, prefix });
  const [more, setMore] = useState({ blobs: [], isComplete: true });
  const [open, setOpen] = useState(query.blob ?? null);
  useEffect(() => setMore({ blobs: [], isComplete: data?.isComplete ?? true }), [data]);
  const blobs = [...(data?.blobs ?? []), ...more.blobs];
  const loadMore = async () => {
    const page = await attempt(() => get(`${path}/blobs`, { connection, prefix, after: blobs.at(-1).name }));
    if (page) setMore({ blobs: [...more.blobs, ...page.blobs], isComplete: page.isComplete });
  };
  const toggle = (blob) => {
    const next = open === blob ? null : blob;
    setOpen(next);
    setQuery({ blob: next });
  };
  return html`
    <${PageHead}
      title=${name}
      subtitle=${subtitle}
      actions=${html`<${SearchField} value=${prefix} placeholder="Prefix of names" onInput=${(value) => setQuery({ prefix: value })} />`}
    />
    ${error && !data && html`<${NotRead} error=${error} name=${name} onRetry=${reload} />`}
    ${!data && !error && html`<${Loading} />`}
    ${data &&
    html`
      <${Panel} flush>
        <${Table}
          label="Blobs"
          columns=${[
            { key: "name", title: "Name", render: (blob) => html`<span class="mono">${blob.name}</span>` },
            { key: "size", title: "Size", align: "right", render: (blob) => html`<span class="nowrap">${size(blob.size)}</span>` },
            { key: "type", title: "Content type", render: ({ contentType }) => contentType },
            { key: "modified", title: "Modified", render: ({ lastModified }) => html`<span class="nowrap"><${RelativeTime} time=${lastModified} /></span>` },
            { key: "lease", title: "Lease", render: ({ lease }) => (lease === "available" ? "" : html`<${StatusBadge} status=${lease} />`) },
          ]}
          rows=${blobs}
          rowKey=${(blob) => blob.name}
          onRow=${(blob) => toggle(blob.name)}
          expanded=${(blob) => open === blob.name && html`<${BlobDetails} path=${path} name=${blob.name} connection=${connection} />`}
          empty=${html`<${Empty} title=${prefix ? `No blob begins with "${prefix}"` : "The container has no blobs"} />`}
        />
      </${Panel}>
      <div class="row">
        <span class="muted">${plural(blobs.length, "blob")}${more.isComplete ? "" : ", and more"}</span>
        ${!more.isComplete && html`<${Button} icon="down" onClick=${loadMore}>More blobs</${Button}>`}
      </div>
    `}
  `;
}

function BlobDetails({ path, name, connection }) {
  const { data, error } = useData(`${path}/blob`, { connection, name });
  const download = () =>
    attempt(async () => {
      // A link would not send the access key.
      const content = await (await request(apiUrl(`${path}/download`, { connection, name }))).blob();
      const link = document.createElement("a");
      link.href = URL.createObjectURL(content);
      link.download = name.split("/").at(-1);
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
  if (!data) return error ? html`<${ErrorBox} error=${error} />` : html`<${Loading} />`;
  return html`<div class="stack">
    <${Facts}
      items=${[
        ["Size", size(data.size)],
        ["Content type", data.contentType],
        ["ETag", html`<span class="mono">${data.etag}</span>`],
        ["Modified", clockTime(data.lastModified)],
        Object.keys(data.metadata).length > 0 && ["Metadata", html`<${JsonView} value=${data.metadata} label="Metadata" />`],
      ]}
    />
    <div class="row"><${Button} icon="download" onClick=${download}>Download</${Button}></div>
    ${data.text === null
      ? html`<${Message}>The content is not text, so it is not shown.</${Message}>`
      : html`<${JsonView} text=${data.text} label="Content" />`}
    ${data.text !== null && !data.isComplete && html`<p class="muted">Only the beginning is shown.</p>`}
  </div>`;
}
