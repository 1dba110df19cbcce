// Timeline of an execution: a row for each task, drawn over time. Only the visible rows are in the page.
//
// Keys: up and down choose a row, left and right move the view, + and - zoom, 0 shows all, Enter opens a child.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { get } from "../api.js";
import { clockTime, count, duration, plural } from "../format.js";
import { address } from "../router.js";
import { Button, Empty, ErrorBox, Facts, Loading } from "../components/basics.js";
import { Table } from "../components/table.js";
import { ended } from "./management.js";
import { Payload } from "./payloads.js";

const ROW = 26;
const MOST_HEIGHT = 520;
const SHORTEST = 2;
/** Kinds of rows, as users call them. */
export const KINDS = {
  orchestrator: "orchestrator",
  activity: "activity",
  child: "sub-orchestration",
  timer: "timer",
  event: "event",
  awaited: "awaited event",
  entity: "entity call",
  signal: "signal",
  lock: "lock",
  rewind: "rewind",
};
const OUTCOMES = { open: "open", queued: "queued", running: "running", completed: "completed", failed: "failed", abandoned: "open at the end" };
const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((seconds) => seconds * 1000),
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60000),
  ...[1, 2, 4, 6, 12, 24, 48, 168, 336, 720, 2160, 8760].map((hours) => hours * 3600000),
];
// "2 min 0 s" is "2 min" on an axis.
const rounded = (length) => duration(length).replace(/ 0 (s|min|h)$/, "").replace(/\.0 s$/, " s");
const ms = (time) => (time ? Date.parse(time) : null);

/** Outcome of an attempt. `isOnlyHost`: no other host can run what this one has not begun. */
function outcome(row, attempt) {
  if (attempt.outcome !== "open" || row.kind !== "activity") return attempt.outcome;
  if (attempt.beganAt) return "running";
  return row.isOnlyHost ? "queued" : "open";
}

/** `awaited`: [{ event, text }] the events for which the orchestrator waits now; a history does not contain them. */
export function Timeline({ instanceId, data, awaited = [] }) {
  const [children, setChildren] = useState({});
  const [view, setView] = useState(null);
  const [chosen, setChosen] = useState(0);
  const [asTable, setAsTable] = useState(false);
  // Without a history there are no runs and no times.
  const rows = useMemo(() => (data.events ? flattened(instanceId, data, children, awaited) : []), [instanceId, data, children, awaited]);
  useEffect(() => {
    // Children that are open and still run have changed together with the parent, or while it waited.
    for (const [id, child] of Object.entries(children)) if (child && !ended(child.data?.status)) load(id, child.target);
  }, [data]);
  if (!data.events) return html`<${Empty} title="The orchestration has not begun">It has no history yet.</${Empty}>`;
  const start = ms(data.start);
  const whole = { from: start, to: Math.max(ms(data.end), start + SHORTEST) };
  const shown = view ?? padded(whole);

  const load = async (id, target) => {
    let loaded;
    try {
      loaded = { target, data: await get(`instances/${encodeURIComponent(target)}/timeline`) };
    } catch (error) {
      loaded = { target, error };
    }
    setChildren((old) => (old[id] ? { ...old, [id]: loaded } : old));
  };
  const toggle = ({ id, target }) => {
    setChildren((old) => ({ ...old, [id]: old[id] ? undefined : { target } }));
    if (!children[id]) load(id, target);
  };
  const zoom = (factor, at = (shown.from + shown.to) / 2) => {
    const length = Math.max((shown.to - shown.from) * factor, SHORTEST);
    if (length >= (padded(whole).to - padded(whole).from) * 1.2) return setView(null);
    const share = (at - shown.from) / (shown.to - shown.from);
    return setView({ from: at - length * share, to: at + length * (1 - share) });
  };
  const pan = (share) => {
    const by = (shown.to - shown.from) * share;
    setView({ from: shown.from + by, to: shown.to + by });
  };
  const row = rows[Math.min(chosen, rows.length - 1)];
  return html`<div class="stack">
    <div class="toolbar">
      <span class="muted">
        ${plural(rows.length - 1, "task")}, ${plural(data.episodes, "episode")}, ${duration(whole.to - whole.from)}
        ${data.isCut && html` (the first ${count(data.rows.length)} tasks)`}
      </span>
      <span class="grow"></span>
      ${!asTable &&
      html`<${Button} title="Zoom out (-)" aria-label="Zoom out" onClick=${() => zoom(1.6)}>−</${Button}>
        <${Button} title="Zoom in (+)" aria-label="Zoom in" onClick=${() => zoom(1 / 1.6)}>+</${Button}>
        <${Button} title="Show all (0)" disabled=${!view} onClick=${() => setView(null)}>Fit</${Button}>`}
      <${Button} aria-pressed=${asTable} onClick=${() => setAsTable(!asTable)}>${asTable ? "Chart" : "Table"}</${Button}>
    </div>
    ${asTable
      ? html`<${TaskTable} rows=${rows.slice(1)} start=${start} />`
      : html`<${Chart}
          rows=${rows}
          shown=${shown}
          start=${start}
          suspended=${data.suspended}
          chosen=${chosen}
          onChoose=${setChosen}
          onToggle=${toggle}
          zoom=${zoom}
          pan=${pan}
          fit=${() => setView(null)}
        />`}
    ${row && !asTable && html`<${Details} key=${row.id} row=${row} start=${start} />`}
  </div>`;
}

const padded = ({ from, to }) => ({ from: from - (to - from) * 0.01, to: to + (to - from) * 0.03 });

/** All rows that are shown, children behind their parents. Each has an id, a depth and the instance it belongs to. */
function flattened(instanceId, data, children, awaited) {
  const rows = [];
  const add = (owner, timeline, depth, prefix) => {
    timeline.rows.forEach((row, index) => {
      const id = `${prefix}/${index}`;
      // A timer has no name; its length tells it from others.
      const name = row.kind === "timer" ? rounded(ms(row.fireAt) - ms(row.attempts[0].scheduledAt)) : row.name;
      rows.push({ ...row, name, id, depth, owner, isOnlyHost: timeline.isOnlyHost });
      const child = children[id];
      if (child?.data?.rows) {
        if (child.data.rows.length) add(row.target, child.data, depth + 1, id);
        else rows.push({ id: `${id}/-`, depth: depth + 1, note: "no tasks", attempts: [] });
      } else if (child) rows.push({ id: `${id}/-`, depth: depth + 1, note: child.error?.message ?? "loading …", attempts: [] });
    });
  };
  rows.push({ id: "root", depth: 0, kind: "orchestrator", isEntity: instanceId.startsWith("@"), name: data.name, runs: data.runs, attempts: [], owner: instanceId, end: data.end });
  if (data.rows.length) add(instanceId, data, 0, "");
  // The wait is at least as old as the last episode; when it began is not stored.
  const since = data.runs.at(-1)?.[0] ?? data.start;
  for (const { event, text } of awaited) {
    const attempt = { scheduledAt: since, scheduledIndex: null, endedAt: null, endedIndex: null, outcome: "open" };
    rows.push({ id: `awaited/${event}`, depth: 0, kind: "awaited", name: event, attempts: [attempt], owner: instanceId, text });
  }
  rows.forEach((row) => (row.isOpen = Boolean(children[row.id])));
  return rows;
}

function Chart({ rows, shown, start, suspended, chosen, onChoose, onToggle, zoom, pan, fit }) {
  const list = useRef(null);
  const [top, setTop] = useState(0);
  const [hovered, setHovered] = useState(null);
  const [width, setWidth] = useState(800);
  const height = Math.min(rows.length * ROW, MOST_HEIGHT);
  const first = Math.max(0, Math.floor(top / ROW) - 4);
  const last = Math.min(rows.length, Math.ceil((top + height) / ROW) + 4);
  const position = (time) => ((time - shown.from) / (shown.to - shown.from)) * 100;

  useLayoutEffect(() => {
    const plot = list.current.querySelector(".plot");
    const measure = () => plot && setWidth(plot.clientWidth);
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(list.current);
    return () => observer.disconnect();
  }, []);

  // The zoom replaces the browser's own, which needs a listener that is not passive.
  const handlers = useRef({});
  handlers.current = { zoom, pan, timeAt: (event) => timeAt(event, list.current, shown) };
  useEffect(() => {
    const element = list.current;
    const onWheel = (event) => {
      const { zoom, pan, timeAt } = handlers.current;
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(event));
      } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        pan(event.deltaX / 800);
      }
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    return () => element.removeEventListener("wheel", onWheel);
  }, []);

  const choose = (index) => {
    const next = Math.max(0, Math.min(rows.length - 1, index));
    onChoose(next);
    const element = list.current;
    if (next * ROW < element.scrollTop) element.scrollTop = next * ROW;
    if ((next + 1) * ROW > element.scrollTop + height) element.scrollTop = (next + 1) * ROW - height;
  };
  const onKeyDown = (event) => {
    const action = {
      ArrowDown: () => choose(chosen + 1),
      ArrowUp: () => choose(chosen - 1),
      Home: () => choose(0),
      End: () => choose(rows.length - 1),
      PageDown: () => choose(chosen + 15),
      PageUp: () => choose(chosen - 15),
      ArrowLeft: () => pan(-0.1),
      ArrowRight: () => pan(0.1),
      "+": () => zoom(1 / 1.6),
      "=": () => zoom(1 / 1.6),
      "-": () => zoom(1.6),
      0: fit,
      Enter: () => rows[chosen]?.kind === "child" && onToggle(rows[chosen]),
    }[event.key];
    if (!action || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    action();
  };
  const drag = useRef(null);
  const onPointerDown = (event) => {
    if (event.button !== 0 || event.target.closest(".twist, a") || !event.target.closest(".plot")) return;
    drag.current = { x: event.clientX, moved: false };
  };
  const onPointerMove = (event) => {
    if (!drag.current) return;
    const by = event.clientX - drag.current.x;
    if (!drag.current.moved && Math.abs(by) < 4) return;
    drag.current = { x: event.clientX, moved: true };
    pan(-by / width);
  };
  const ticks = ticksOf(shown, start, width);
  return html`<div class="timeline">
    <div class="axis" aria-hidden="true">
      <div class="plot">
        ${ticks.map(({ time, text }) => html`<span key=${time} class="tick" style=${{ left: `${position(time)}%` }}>${text}</span>`)}
      </div>
    </div>
    <div
      ref=${list}
      class="rows"
      role="listbox"
      tabindex="0"
      aria-label="Tasks over time. Arrow keys choose a row and move the view, plus and minus zoom, Enter opens a sub-orchestration."
      aria-activedescendant=${`task-${chosen}`}
      style=${{ height: `${height + 2}px` }}
      onScroll=${(event) => setTop(event.currentTarget.scrollTop)}
      onKeyDown=${onKeyDown}
      onPointerDown=${onPointerDown}
      onPointerMove=${onPointerMove}
      onPointerUp=${() => (drag.current = null)}
      onPointerLeave=${() => {
        drag.current = null;
        setHovered(null);
      }}
    >
      <div class="space" style=${{ height: `${rows.length * ROW}px` }}>
        <div class="grid-lines" aria-hidden="true">
          <div class="plot">
            ${ticks.map(({ time }) => html`<i key=${time} style=${{ left: `${position(time)}%` }} />`)}
            ${suspended.map(
              ([from, to]) => html`<b key=${from} title="suspended" style=${span(position, ms(from), ms(to) ?? shown.to)} />`,
            )}
          </div>
        </div>
        ${rows.slice(first, last).map((row, offset) => {
          const index = first + offset;
          return html`<div
            key=${row.id}
            id=${`task-${index}`}
            class=${`task ${row.kind ?? ""} ${index === chosen ? "chosen" : ""}`}
            role="option"
            aria-selected=${index === chosen}
            aria-label=${spoken(row, start)}
            style=${{ top: `${index * ROW}px` }}
            onClick=${() => onChoose(index)}
            onPointerEnter=${(event) => setHovered({ row, index, x: event.clientX })}
          >
            <div class="label" style=${{ paddingLeft: `${8 + row.depth * 16}px` }} title=${[row.name, row.target].filter(Boolean).join(" ")}>
              ${row.kind === "child" &&
              html`<span
                class="twist"
                title=${row.isOpen ? "Close" : "Open"}
                onClick=${(event) => {
                  event.stopPropagation();
                  onToggle(row);
                }}
              >${row.isOpen ? "▾" : "▸"}</span>`}
              ${row.note
                ? html`<span class="muted">${row.note}</span>`
                : html`<span class="kind">${row.isEntity ? "entity" : KINDS[row.kind]}</span><span class="name">${row.name}</span>${row.target && html`<span class="target">${row.target}</span>`}`}
            </div>
            <div class="plot">${barsOf(row, position, shown, width)}</div>
          </div>`;
        })}
      </div>
    </div>
    ${hovered && html`<${Tip} ...${hovered} start=${start} list=${list.current} />`}
  </div>`;
}

const span = (position, from, to) => {
  const left = Math.max(-2, position(from));
  return { left: `${left}%`, width: `${Math.max(0, Math.min(102, position(to)) - left)}%` };
};

function timeAt(event, list, shown) {
  const box = list.querySelector(".plot").getBoundingClientRect();
  return shown.from + ((event.clientX - box.left) / box.width) * (shown.to - shown.from);
}

function barsOf(row, position, shown, width) {
  if (row.runs) return runBars(row.runs, position, width);
  const bars = [];
  row.attempts.forEach((attempt, index) => {
    const from = ms(attempt.scheduledAt);
    const ended = ms(attempt.endedAt);
    const before = index && ms(row.attempts[index - 1].endedAt);
    if (before) bars.push(html`<span key=${`pause ${index}`} class="pause" style=${span(position, before, from)} />`);
    if (["event", "signal", "rewind"].includes(row.kind)) {
      bars.push(html`<span key=${index} class="moment" style=${{ left: `${position(from)}%` }} />`);
      return;
    }
    // An open timer is drawn up to the time at which it fires, if that is in view.
    const end = ended ?? (row.fireAt && attempt.outcome === "open" ? Math.min(ms(row.fireAt), shown.to) : shown.to);
    const until = attempt.outcome === "abandoned" ? Math.min(end, shown.to) : end;
    const state = outcome(row, attempt);
    const began = state === "queued" ? until : (ms(attempt.beganAt) ?? from);
    if (began - from > 1) bars.push(html`<span key=${`queued ${index}`} class="queued" style=${span(position, from, began)} />`);
    if (state !== "queued") bars.push(html`<span key=${index} class=${`bar ${attempt.outcome}`} style=${span(position, began, until)} />`);
    const seen = ms(attempt.seenAt);
    if (ended && seen - ended > 1) bars.push(html`<span key=${`seen ${index}`} class="unseen" style=${span(position, ended, seen)} />`);
  });
  if (row.releasedAt) {
    const [{ endedAt, scheduledAt }] = row.attempts;
    bars.push(html`<span key="held" class="held" style=${span(position, ms(endedAt ?? scheduledAt), ms(row.releasedAt))} />`);
  }
  return bars;
}

/** Episodes are often shorter than a pixel: those that would cover each other are drawn once. */
function runBars(runs, position, width) {
  const bars = [];
  let covered = -Infinity;
  for (const [from, to] of runs) {
    const left = position(ms(from));
    const right = position(ms(to));
    if (right < -1 || left > 101 || (right / 100) * width < covered) continue;
    covered = Math.max((left / 100) * width + 3, (right / 100) * width);
    bars.push(html`<span key=${from} class="bar run" style=${span(position, ms(from), ms(to))} />`);
  }
  return bars;
}

function ticksOf({ from, to }, start, width) {
  const step = STEPS.find((size) => (to - from) / size <= Math.max(3, width / 90)) ?? STEPS.at(-1);
  const ticks = [];
  for (let time = start + Math.ceil((from - start) / step) * step; time <= to; time += step) {
    // The text of a tick at the right edge would be cut.
    const isAtEdge = ((to - time) / (to - from)) * width < 50;
    ticks.push({ time, text: isAtEdge ? "" : time === start ? "0" : `${time < start ? "−" : "+"}${rounded(Math.abs(time - start))}` });
  }
  return ticks;
}

function outcomeOf(row) {
  const last = row.attempts.at(-1);
  if (!last) return "";
  if (row.kind === "awaited") return "not raised yet";
  const times = row.attempts.length > 1 ? `, ${row.attempts.length} attempts` : "";
  return `${OUTCOMES[outcome(row, last)]}${times}`;
}

function tookOf(row) {
  const last = row.attempts.at(-1);
  return last?.endedAt ? ms(last.endedAt) - ms(row.attempts[0].scheduledAt) : null;
}

/** Time between the scheduling of an activity and its begin; null if that is not known. */
const queuedFor = (attempt) => (attempt?.beganAt ? ms(attempt.beganAt) - ms(attempt.scheduledAt) : null);

function spoken(row, start) {
  if (row.note) return row.note;
  if (row.runs) return `${row.isEntity ? "entity" : "orchestrator"} ${row.name}, ${plural(row.runs.length, "episode")}`;
  const began = duration(ms(row.attempts[0].scheduledAt) - start);
  const took = tookOf(row);
  const queued = queuedFor(row.attempts.at(-1));
  return `${KINDS[row.kind]} ${row.name}, ${outcomeOf(row)}, ${row.kind === "activity" ? "scheduled" : "began"} after ${began}${queued ? `, ${duration(queued)} in the queue` : ""}${took ? `, took ${duration(took)}` : ""}`;
}

function Tip({ row, index, x, start, list }) {
  if (row.note || row.runs || !list) return null;
  const box = list.getBoundingClientRect();
  const y = (index + 1) * ROW - list.scrollTop + 30;
  const took = tookOf(row);
  const queued = queuedFor(row.attempts.at(-1));
  return html`<div class="tip" aria-hidden="true" style=${{ left: `${Math.min(Math.max(x - box.left + 12, 0), box.width - 260)}px`, top: `${y}px` }}>
    <strong>${row.name}</strong> <span class="muted">${KINDS[row.kind]}</span>
    <div>${outcomeOf(row)}${took !== null ? `, ${duration(took)}` : ""}</div>
    <div class="muted">${row.kind === "awaited" ? "awaited at least since" : row.kind === "activity" ? "scheduled at" : "began at"} +${duration(ms(row.attempts[0].scheduledAt) - start)}</div>
    ${queued !== null && html`<div class="muted">${duration(queued)} in the queue</div>`}
  </div>`;
}

/** What is known of the chosen row, with the payloads of its events. */
function Details({ row, start }) {
  const last = row.attempts.at(-1);
  const [events, setEvents] = useState(null);
  const [error, setError] = useState(null);
  const path = row.owner && `instances/${encodeURIComponent(row.owner)}`;
  useEffect(() => {
    if (!last || !path) return undefined;
    const abort = new AbortController();
    const indexes = row.attempts.slice(-5).flatMap(({ scheduledIndex, endedIndex }) => [scheduledIndex, endedIndex]);
    const wanted = [...new Set(indexes.filter((index) => index !== null))];
    Promise.all(wanted.map((from) => get(`${path}/history`, { from, limit: 1 }, { signal: abort.signal }))).then(
      (answers) => setEvents(Object.fromEntries(answers.flatMap(({ events }) => events.map((event) => [event.index, event])))),
      (problem) => problem.name === "AbortError" || setError(problem),
    );
    return () => abort.abort();
  }, [row]);
  if (!last) return row.runs ? html`<p class="muted">Choose a task to see its times and payloads.</p>` : null;
  const payloadsOf = (index) =>
    (events?.[index]?.payloads ?? []).map(
      (payload) =>
        html`<div key=${payload.name}>
          <h3>${payload.name}</h3>
          <${Payload} payload=${payload} label=${payload.name} path=${`${path}/payload`} query=${{ index, name: payload.name }} />
        </div>`,
    );
  return html`<section class="panel task-details" aria-label="Chosen task">
    <header>
      <h2>${row.name} <span class="muted">${KINDS[row.kind]}, ${outcomeOf(row)}</span></h2>
      <div class="actions">
        ${row.target && row.kind !== "lock" && html`<a href=${address(["instances", row.target])}>Open ${row.target}</a>`}
      </div>
    </header>
    <div class="body stack">
      ${error && html`<${ErrorBox} error=${error} />`}
      ${row.attempts.slice(-5).map((attempt, offset) => {
        const number = row.attempts.length - Math.min(row.attempts.length, 5) + offset + 1;
        const began = ms(attempt.scheduledAt);
        const ended = ms(attempt.endedAt);
        const before = number > 1 ? ms(row.attempts[number - 2].endedAt) : null;
        return html`<div key=${number} class="stack">
          ${row.attempts.length > 1 && html`<h3>Attempt ${number}: ${OUTCOMES[outcome(row, attempt)]}</h3>`}
          <${Facts}
            items=${[
              row.kind !== "awaited" && ["Scheduled", html`${clockTime(attempt.scheduledAt)} <span class="muted">+${duration(began - start)}</span>`],
              before && ["Pause before", duration(began - before)],
              attempt.beganAt && ["Began to run", html`${clockTime(attempt.beganAt)} <span class="muted">after ${duration(queuedFor(attempt))} in the queue</span>`],
              ended && ["Ended", html`${clockTime(attempt.endedAt)} <span class="muted">after ${duration(ended - (ms(attempt.beganAt) ?? began))}</span>`],
              ended && ms(attempt.seenAt) - ended > 1 && ["Seen by the orchestrator", `${duration(ms(attempt.seenAt) - ended)} later`],
              row.fireAt && ["Fires at", clockTime(row.fireAt)],
              row.releasedAt && ["Released", clockTime(row.releasedAt)],
              row.text && ["State", row.text],
              ["Event id", row.eventId >= 0 ? row.eventId : null],
            ]}
          />
          ${events ? [...payloadsOf(attempt.scheduledIndex), ...(attempt.endedIndex === attempt.scheduledIndex ? [] : payloadsOf(attempt.endedIndex))] : html`<${Loading} />`}
        </div>`;
      })}
    </div>
  </section>`;
}

const TaskTable = ({ rows, start }) =>
  html`<section class="panel">
    <${Table}
      label="Tasks"
      rows=${rows.filter(({ note }) => !note).slice(0, 1000)}
      rowKey=${({ id }) => id}
      columns=${[
        { key: "kind", title: "Kind", render: ({ kind }) => KINDS[kind], sort: ({ kind }) => kind },
        { key: "name", title: "Name", sort: ({ name }) => name },
        { key: "outcome", title: "Outcome", render: outcomeOf, sort: outcomeOf },
        {
          key: "began",
          title: "Scheduled",
          align: "right",
          render: ({ attempts }) => `+${duration(ms(attempts[0].scheduledAt) - start)}`,
          sort: ({ attempts }) => ms(attempts[0].scheduledAt),
        },
        {
          key: "queued",
          title: "In the queue",
          align: "right",
          render: ({ attempts }) => duration(queuedFor(attempts.at(-1))),
          sort: ({ attempts }) => queuedFor(attempts.at(-1)),
        },
        { key: "took", title: "Took", align: "right", render: (row) => duration(tookOf(row)), sort: tookOf },
        { key: "target", title: "Instance or entity" },
      ]}
    />
  </section>`;
