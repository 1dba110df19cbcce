// Log lines, live: of the whole host, of a function, of an invocation or of an instance.
//
//   <${LogLines} filter=${{ function: "greet" }} />

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { follow } from "../events.js";
import { clockTime } from "../format.js";
import { address } from "../router.js";
import { Empty, StatusBadge } from "./basics.js";

const MAX_LINES = 2000;

/**
 * The lines of the API's endpoint `logs` for a filter, and whether the stream is open.
 * `paused`: new lines are collected, but not shown. Returns { lines, waiting, error }.
 */
function useLogLines(filter, paused = false) {
  const [state, setState] = useState({ lines: [], waiting: 0, error: null, open: false });
  const text = JSON.stringify(filter);
  const pausedRef = useRef(paused);
  pausedRef.current = paused;
  const publish = useRef(() => {});
  useEffect(() => {
    let lines = [];
    let waiting = 0;
    let last = 0;
    let frame = null;
    setState({ lines: [], waiting: 0, error: null, open: false });
    const show = () => {
      frame = null;
      if (pausedRef.current) setState((old) => ({ ...old, waiting }));
      else {
        waiting = 0;
        setState((old) => ({ ...old, lines: lines.slice(), waiting: 0 }));
      }
    };
    publish.current = show;
    const stop = follow("logs", () => ({ ...JSON.parse(text), follow: true, after: last, last: MAX_LINES }), {
      onEvent: (line) => {
        // A restarted host counts from 1 again.
        if (line.seq <= last) lines = [];
        last = line.seq;
        waiting += 1;
        lines.push(line);
        if (lines.length > MAX_LINES * 1.2) lines = lines.slice(-MAX_LINES);
        frame ??= requestAnimationFrame(show);
      },
      onState: (name, error) => {
        setState((old) => ({ ...old, open: name === "open", error: error ?? null }));
      },
    });
    return () => {
      stop();
      cancelAnimationFrame(frame);
    };
  }, [text]);
  useEffect(() => publish.current(), [paused]);
  return state;
}

const isAtEnd = (element) => element.scrollHeight - element.scrollTop - element.clientHeight < 40;

/**
 * `filter`: parameters of the endpoint. `paused`: see useLogLines. `showFunction`: a column with the function.
 * `empty`: shown while there are no lines. `compact`: not higher than a part of a page.
 */
export function LogLines({ filter, paused = false, showFunction = true, compact = false, empty, onWaiting }) {
  const { lines, waiting, error } = useLogLines(filter, paused);
  const frame = useRef(null);
  const stuck = useRef(true);
  useEffect(() => onWaiting && onWaiting(waiting), [waiting]);
  // Follow the end, unless the user has scrolled up.
  useLayoutEffect(() => {
    if (frame.current && stuck.current) frame.current.scrollTop = frame.current.scrollHeight;
  }, [lines]);
  const rows = useMemo(
    () => lines.map((line) => html`<${LogLine} key=${line.seq} line=${line} showFunction=${showFunction} />`),
    [lines, showFunction],
  );
  if (!lines.length) {
    return error
      ? html`<${Empty} title="The log cannot be read">${error.message}</${Empty}>`
      : (empty ?? html`<${Empty} title="No lines yet" />`);
  }
  return html`<div
    ref=${frame}
    class=${`log ${compact ? "compact" : ""}`}
    tabindex="0"
    role="log"
    aria-label="Log lines"
    onScroll=${(event) => {
      stuck.current = isAtEnd(event.currentTarget);
    }}
  >
    ${rows}
  </div>`;
}

function LogLine({ line, showFunction }) {
  const level = line.level.toLowerCase();
  const isUser = line.category.endsWith(".User") || line.category === "Host.Function.Console";
  return html`<div class=${`log-line ${level} ${isUser ? "user" : ""} ${line.isReplay ? "replay" : ""}`}>
    <time dateTime=${line.time} title=${line.time}>${clockTime(line.time)}</time>
    <span class="level" title=${line.category}>${SHORT[level] ?? line.level}</span>
    ${showFunction &&
    html`<span class="from">
      ${line.function
        ? html`<a href=${address(["functions", line.function])} title=${line.category}>${line.function}</a>`
        : html`<span class="muted" title=${line.category}>${line.category.replace(/^Host\./, "")}</span>`}
    </span>`}
    <span class="text">
      ${line.isReplay && html`<${StatusBadge} status="replay" tone="grey" title="Logged before, and again while the orchestrator was replayed" /> `}${line.message}
      ${line.instanceId && html` <a class="instance" href=${address(["instances", line.instanceId])}>${line.instanceId}</a>`}
    </span>
  </div>`;
}

const SHORT = { trace: "TRC", debug: "DBG", information: "INF", warning: "WRN", error: "ERR", critical: "CRT" };
