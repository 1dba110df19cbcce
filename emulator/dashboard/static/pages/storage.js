// Storage: the queues, tables and blob containers of the app's accounts.

import { html } from "../html.js";
import { useData } from "../data.js";
import { Empty, ErrorBox, Loading, PageHead, Panel, SearchField, StatusBadge } from "../components/basics.js";
import { Table } from "../components/table.js";
import { Tabs } from "../components/tabs.js";
import { count } from "../format.js";
import { address, navigate, setQuery } from "../router.js";

const TABS = [
  { id: "queues", title: "Queues", list: "queues" },
  { id: "tables", title: "Tables", list: "tables" },
  { id: "blobs", title: "Blob containers", list: "containers" },
];

export default function StoragePage({ query }) {
  const connections = useData("storage/connections");
  const tab = TABS.find(({ id }) => id === query.tab) ?? TABS[0];
  const connection = query.connection ?? "";
  const { data, error, reload } = useData(`storage/${tab.list}`, { connection }, { live: tab.id === "queues", every: 5000, pause: 1500 });
  const text = (query.text ?? "").toLowerCase();
  const rows = (data?.[tab.list] ?? []).filter(({ name }) => name.toLowerCase().includes(text));
  const chosen = (connections.data?.connections ?? []).find(({ name }) => name === connection) ?? connections.data?.connections[0];
  return html`
    <${PageHead}
      title="Storage"
      subtitle=${chosen && html`${chosen.description} ${!chosen.mayWrite && html`<${StatusBadge} status="read only" tone="yellow" />`}`}
      actions=${html`
        <${ConnectionSelect} connections=${connections.data?.connections ?? []} value=${connection} />
        <${SearchField} value=${query.text ?? ""} placeholder=${`Filter ${tab.title.toLowerCase()}`} onInput=${(value) => setQuery({ text: value })} />
      `}
    />
    <${Tabs} label="Kinds of storage" tabs=${TABS} active=${tab.id} onChange=${(id) => setQuery({ tab: id === "queues" ? "" : id })} />
    ${error && !data
      ? html`<${ErrorBox} error=${error} onRetry=${reload} />`
      : !data
        ? html`<${Loading} />`
        : html`${!data.isComplete && html`<p class="muted">The account has more ${tab.title.toLowerCase()}; these are the first ${count(data[tab.list].length)}.</p>`}
          <${Panel} flush>
            <${Table}
              key=${tab.id}
              label=${tab.title}
              columns=${COLUMNS[tab.id](connection)}
              rows=${rows}
              rowKey=${({ name }) => name}
              onRow=${({ name }) => navigate(["storage", tab.id, name], { connection })}
              empty=${html`<${Empty} title=${text ? `Nothing matches "${text}"` : `The account has no ${tab.title.toLowerCase()}`} />`}
            />
          </${Panel}>`}
  `;
}

const nameColumn = (kind, connection) => ({
  key: "name",
  title: "Name",
  sort: ({ name }) => name.toLowerCase(),
  render: ({ name }) => html`<a class="mono" href=${address(["storage", kind, name], { connection })}>${name}</a>`,
});

const KINDS = { taskHub: "task hub", poison: "poison queue", other: "" };

const COLUMNS = {
  queues: (connection) => [
    nameColumn("queues", connection),
    { key: "kind", title: "Kind", sort: ({ kind }) => kind, render: ({ kind }) => html`<span class="muted">${KINDS[kind]}</span>` },
    {
      key: "messages",
      title: "Messages",
      align: "right",
      sort: ({ messages }) => messages,
      render: ({ messages, kind }) => html`<span class=${kind === "poison" && messages ? "bad" : ""}>${count(messages)}</span>`,
    },
  ],
  tables: (connection) => [nameColumn("tables", connection)],
  blobs: (connection) => [nameColumn("blobs", connection)],
};

/** Chooses the account, if the app uses several. */
const ConnectionSelect = ({ connections, value }) =>
  connections.length > 1 &&
  html`<select aria-label="Connection" value=${value || connections[0].name} onChange=${(event) => setQuery({ connection: event.currentTarget.value })}>
    ${connections.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}
  </select>`;
