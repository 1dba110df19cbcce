// Settings: options of host.json and app settings as the host uses them, with the origin of each value.

import { html, useState } from "../html.js";
import { get } from "../api.js";
import { useData } from "../data.js";
import { CopyButton, Empty, Facts, NotLoaded, PageHead, Panel, SearchField, StatusBadge } from "../components/basics.js";
import { Table } from "../components/table.js";
import { Tabs } from "../components/tabs.js";
import { attempt } from "../components/toast.js";
import { setQuery } from "../router.js";

export default function SettingsPage({ query }) {
  const { data, error, reload } = useData("settings");
  const [shown, setShown] = useState({});
  if (!data) return html`<${NotLoaded} title="Settings" error=${error} onRetry=${reload} />`;
  const tab = query.tab ?? "settings";
  const text = (query.text ?? "").toLowerCase();
  const matches = (...values) => values.some((value) => String(value ?? "").toLowerCase().includes(text));
  const options = data.hostJson.filter(
    ({ path, value, origin }) => matches(path, JSON.stringify(value), origin) && (query.all === "true" || origin !== "default"),
  );
  const settings = data.settings.filter(({ name, value, origin }) => matches(name, value, origin));
  const reveal = async (name) => {
    const found = await attempt(() => get("settings/value", { name }));
    if (found) setShown((old) => ({ ...old, [name]: found.value }));
  };
  return html`
    <${PageHead}
      title="Settings"
      actions=${html`<${SearchField} value=${query.text ?? ""} placeholder="Filter settings" onInput=${(value) => setQuery({ text: value })} />`}
    />
    <${Tabs}
      label="Kinds of settings"
      tabs=${[
        { id: "settings", title: "App settings", count: settings.length },
        { id: "host", title: "host.json", count: options.length },
        { id: "start", title: "Start options" },
      ]}
      active=${tab}
      onChange=${(id) => setQuery({ tab: id === "settings" ? "" : id })}
    />
    ${tab === "settings" &&
    html`<${Panel} flush>
      <${Table}
        label="App settings"
        columns=${[
          { key: "name", title: "Name", sort: ({ name }) => name, render: ({ name }) => html`<span class="mono">${name}</span>` },
          {
            key: "value",
            title: "Value",
            render: (setting) => html`<${Value} setting=${setting} value=${shown[setting.name]} mayReveal=${data.mayReveal}
              onReveal=${() => reveal(setting.name)} onHide=${() => setShown((old) => ({ ...old, [setting.name]: undefined }))} />`,
          },
          {
            key: "origin",
            title: "Origin",
            sort: ({ origin }) => origin,
            render: ({ origin, hides }) => html`<${Origin} origin=${origin} />${hides && html` <span class="muted">instead of ${hides}</span>`}`,
          },
          { key: "used", title: "Used by bindings", render: ({ isUsed }) => (isUsed ? "yes" : "") },
        ]}
        rows=${settings}
        rowKey=${({ name }) => name}
        empty=${html`<${Empty} title="No setting matches" />`}
      />
    </${Panel}>`}
    ${tab === "host" &&
    html`
      <label class="check">
        <input type="checkbox" checked=${query.all === "true"} onChange=${(event) => setQuery({ all: event.currentTarget.checked ? "true" : "" })} />
        Show options that have their default, too
      </label>
      <${Panel} flush>
        <${Table}
          label="Options of host.json"
          blocks
          columns=${[
            { key: "path", title: "Option", sort: ({ path }) => path, render: ({ path }) => html`<span class="mono">${path}</span>` },
            { key: "value", title: "Value", render: ({ value }) => html`<div class="mono value">${value === null ? html`<span class="muted">not set</span>` : JSON.stringify(value)}</div>` },
            { key: "origin", title: "Origin", sort: ({ origin }) => origin, render: ({ origin }) => html`<${Origin} origin=${origin} />` },
          ]}
          rows=${options}
          rowKey=${({ path }) => path}
          empty=${html`<${Empty} title="All options have their defaults" />`}
        />
      </${Panel}>
    `}
    ${tab === "start" &&
    html`<${Panel}>
      <${Facts}
        items=${[
          ["App folder", html`<span class="mono">${data.start.app}</span>`],
          ["Address", data.start.address],
          ["Port", data.start.port],
          ["Keys", data.start.enableAuth ? "required (--enable-auth)" : "not required"],
          ["CORS", data.start.cors ? data.start.cors.join(", ") : "off"],
          ["Host names", data.start.hostNames.join(", ") || "only those of this machine"],
          ["Dashboard", `/${data.start.dashboardPath}/${data.start.dashboardWrites ? " (may change accounts in Azure)" : ""}`],
          ["Process", data.start.processId],
        ]}
      />
    </${Panel}>`}
  `;
}

function Value({ setting, value, mayReveal, onReveal, onHide }) {
  if (!setting.isMasked) return html`<div class="mono value">${setting.value}</div>`;
  if (value !== undefined) {
    return html`<span class="mono value">${value}</span> <${CopyButton} text=${value} label="Copy the value" />
      <button type="button" class="link" onClick=${onHide}>hide</button>`;
  }
  return html`<span class="muted nowrap" aria-label="masked">••••••••</span> ${
    mayReveal && html`<button type="button" class="link" aria-label=${`Show ${setting.name}`} onClick=${onReveal}>show</button>`
  }`;
}

const TONES = { default: "grey", "host.json": "blue", "local.settings.json": "blue", environment: "yellow", "command line": "green" };

const Origin = ({ origin }) =>
  origin.startsWith("setting ")
    ? html`<${StatusBadge} status="app setting" tone="yellow" /> <span class="mono">${origin.slice(8)}</span>`
    : html`<${StatusBadge} status=${origin} tone=${TONES[origin] ?? "grey"} />`;
