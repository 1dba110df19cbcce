// The history of an instance as a table, filtered by type, loaded in parts.

import { html, useEffect, useState } from "../html.js";
import { get } from "../api.js";
import { clockTime, count, duration } from "../format.js";
import { address } from "../router.js";
import { Button, Empty, ErrorBox, Facts, Loading } from "../components/basics.js";
import { Table } from "../components/table.js";
import { attempt } from "../components/toast.js";
import { canFork } from "./fork.js";
import { Payload, preview } from "./payloads.js";

const PART = 200;
// Two events of every episode, which say little.
const EPISODES = ["OrchestratorStarted", "OrchestratorCompleted"];

/** `onFork(event)`: null if the host must not be changed. */
export function History({ path, version, onFork }) {
  const [types, setTypes] = useState(null);
  const [shown, setShown] = useState(PART);
  const [open, setOpen] = useState(new Set());
  const [known, setKnown] = useState(null);
  const chosen = types ?? (known && Object.keys(known).filter((type) => !EPISODES.includes(type)));
  const [state, setState] = useState({ events: null, total: 0, error: null });
  const selection = types && (types.join(",") || "none");
  useEffect(() => {
    const abort = new AbortController();
    (async () => {
      try {
        const events = [];
        let total = 0;
        do {
          const page = await get(`${path}/history`, { from: events.length, limit: Math.min(1000, shown - events.length), type: selection, episodes: selection ? "" : "false" }, { signal: abort.signal });
          events.push(...page.events);
          total = page.total;
          setKnown(page.types);
          if (!page.events.length) break;
        } while (events.length < Math.min(shown, total));
        setState({ events, total, error: null });
      } catch (error) {
        if (error.name !== "AbortError") setState((old) => ({ ...old, error }));
      }
    })();
    return () => abort.abort();
  }, [path, selection, shown, version]);
  if (state.error && !state.events) return html`<${ErrorBox} error=${state.error} />`;
  if (!known || !state.events) return html`<${Loading} />`;
  const toggleType = (type) => setTypes(chosen.includes(type) ? chosen.filter((other) => other !== type) : [...chosen, type]);
  const toggle = ({ index }) =>
    setOpen((old) => {
      const next = new Set(old);
      if (!next.delete(index)) next.add(index);
      return next;
    });
  const start = state.events.length ? Date.parse(state.events[0].at) : 0;
  return html`<div class="stack">
    <div class="chips" role="group" aria-label="Types of events">
      ${Object.entries(known)
        .sort(([a], [b]) => EPISODES.includes(a) - EPISODES.includes(b))
        .map(
          ([type, number]) =>
            html`<button key=${type} type="button" class="chip" aria-pressed=${chosen.includes(type)} onClick=${() => toggleType(type)}>
              ${type}<span class="muted">${count(number)}</span>
            </button>`,
        )}
    </div>
    <section class="panel">
      <${Table}
        label="History"
        rows=${state.events}
        rowKey=${({ index }) => index}
        onRow=${toggle}
        expanded=${(event) => open.has(event.index) && html`<${EventDetails} event=${event} path=${path} onFork=${onFork} />`}
        empty=${html`<${Empty} title=${Object.keys(known).length ? "No event of these types" : "The orchestration has not begun"} />`}
        columns=${[
          { key: "index", title: "#", align: "right" },
          {
            key: "at",
            title: "Time",
            render: ({ at }) => html`<time class="nowrap" dateTime=${at} title=${at}>+${duration(Math.max(0, Date.parse(at) - start))}</time>`,
          },
          { key: "type", title: "Event", render: ({ type }) => html`<span class=${`event-type ${toneOf(type)}`}>${type}</span>` },
          { key: "subject", title: "Name", render: (event) => html`<${Subject} event=${event} />` },
          { key: "tookMs", title: "Took", align: "right", render: ({ tookMs }) => (tookMs === null ? "" : html`<span class="nowrap">${duration(tookMs)}</span>`) },
          {
            key: "payload",
            title: "Payload",
            render: ({ payloads, failure }) => (failure || payloads.length > 0) && html`<span class="mono">${failure ?? preview(payloads[0])}</span>`,
          },
        ]}
      />
    </section>
    ${state.events.length < state.total &&
    html`<div class="pages">
      <span class="muted">${count(state.events.length)} of ${count(state.total)} events</span>
      <${Button} onClick=${() => setShown(shown + PART * 5)}>Show more</${Button}>
    </div>`}
  </div>`;
}

function toneOf(type) {
  if (/Failed|Terminated/.test(type)) return "red";
  if (/Completed|Fired/.test(type)) return "green";
  if (/Suspended|Resumed|Generic/.test(type)) return "yellow";
  return /^Orchestrator/.test(type) ? "grey" : "blue";
}

const Subject = ({ event: { subject, target, status, fireAt } }) => html`
  ${subject ?? ""}${status && html` <span class="muted">${status}</span>`}
  ${fireAt && html`<span class="muted"> at ${clockTime(fireAt)}</span>`}
  ${target && html` <a class="mono" href=${address(["instances", target])}>${target}</a>`}
`;

const EventDetails = ({ event, path, onFork }) =>
  html`<div class="stack">
    <${Facts}
      items=${[
        ["Time", clockTime(event.at)],
        ["Event id", event.eventId],
        event.belongsTo !== null && ["Scheduled by", `event ${event.belongsTo}`],
        event.fireAt && ["Fires at", clockTime(event.fireAt)],
        event.target && ["Target", event.target],
        event.failure && ["Failure", html`<span class="pre">${event.failure}</span>`],
      ]}
    />
    ${event.payloads.map(
      (payload) =>
        html`<div key=${payload.name}>
          <h3>${payload.name}</h3>
          <${Payload} payload=${payload} label=${payload.name} path=${`${path}/payload`} query=${{ index: event.index, name: payload.name }} />
        </div>`,
    )}
    ${!event.payloads.length && !event.failure && html`<span class="muted">This event has no payload.</span>`}
    ${onFork && canFork(event) && html`<div class="row"><${Button} onClick=${() => onFork(event)}>Fork from here …</${Button}></div>`}
  </div>`;
