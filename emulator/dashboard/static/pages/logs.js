// Logs: the lines of the host, live, with filters that are part of the address.

import { html, useEffect, useState } from "../html.js";
import { useData } from "../data.js";
import { Button, Empty, PageHead, Panel, SearchField } from "../components/basics.js";
import { LogLines } from "../components/log_lines.js";
import { plural } from "../format.js";
import { setQuery } from "../router.js";

const LEVELS = ["Trace", "Debug", "Information", "Warning", "Error", "Critical"];

export default function LogsPage({ query }) {
  const [paused, setPaused] = useState(false);
  const [waiting, setWaiting] = useState(0);
  const [text, setText] = useState(query.text ?? "");
  const [instance, setInstance] = useState(query.instance ?? "");
  const functions = useData("functions");
  // Each filter is a new stream, so not one for each key.
  useEffect(() => {
    const timer = setTimeout(() => setQuery({ text, instance }), 250);
    return () => clearTimeout(timer);
  }, [text, instance]);
  const filter = {
    level: query.level ?? "",
    function: query.function ?? "",
    instance: query.instance ?? "",
    text: query.text ?? "",
    replay: query.replay === "true" ? "" : "false",
    verbose: query.verbose === "true" ? "" : "false",
  };
  return html`
    <${PageHead} title="Logs" actions=${html`
      <${Button} icon=${paused ? "play" : "pause"} onClick=${() => setPaused(!paused)} aria-pressed=${paused}>
        ${paused ? (waiting ? `Continue (${plural(waiting, "new line")})` : "Continue") : "Pause"}
      </${Button}>`} />
    <div class="toolbar">
      <${SearchField} value=${text} placeholder="Filter by text" onInput=${setText} />
      <select aria-label="Lowest level" value=${query.level ?? ""} onChange=${(event) => setQuery({ level: event.currentTarget.value })}>
        <option value="">All levels</option>
        ${LEVELS.slice(2).map((level) => html`<option key=${level} value=${level}>${level} and above</option>`)}
      </select>
      <select aria-label="Function" value=${query.function ?? ""} onChange=${(event) => setQuery({ function: event.currentTarget.value })}>
        <option value="">All functions</option>
        ${(functions.data?.functions ?? []).map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}
      </select>
      <input
        type="text"
        aria-label="Instance id"
        placeholder="Instance id"
        value=${instance}
        onInput=${(event) => setInstance(event.currentTarget.value)}
      />
      <label class="check">
        <input
          type="checkbox"
          checked=${query.verbose === "true"}
          onChange=${(event) => setQuery({ verbose: event.currentTarget.checked ? "true" : "" })}
        />
        Lines of the host
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked=${query.replay === "true"}
          onChange=${(event) => setQuery({ replay: event.currentTarget.checked ? "true" : "" })}
        />
        Lines of replays
      </label>
    </div>
    <${Panel} flush>
      <${LogLines}
        filter=${filter}
        paused=${paused}
        onWaiting=${setWaiting}
        empty=${html`<${Empty} title="No lines match the filters">New lines appear here as they are logged.</${Empty}>`}
      />
    </${Panel}>
  `;
}
