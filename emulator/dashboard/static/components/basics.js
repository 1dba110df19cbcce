// Small building blocks of all pages.
//
//   <${CopyButton} text=${id} label="Copy the id" />       <${StatusBadge} status="Running" />
//   <${RelativeTime} time="2026-01-01T00:00:00.000Z" />    <${ErrorBox} error=${error} onRetry=${reload} />

import { html, useEffect, useState } from "../html.js";
import { clockTime, relative } from "../format.js";
import { Icon } from "./icons.js";
import { toast } from "./toast.js";

/** A button. `kind`: "primary", "danger" or nothing. `busy`: shows that its action is running. */
export function Button({ kind = "", icon, busy = false, disabled = false, children, ...others }) {
  return html`<button type="button" class=${`button ${kind}`} disabled=${disabled || busy} aria-busy=${busy} ...${others}>
    ${icon && html`<${Icon} name=${icon} />`}${children}
  </button>`;
}

/** A button with an icon only. `label`: what it does, for screen readers and as tooltip. */
export const IconButton = ({ icon, label, ...others }) =>
  html`<button type="button" class="icon-button" aria-label=${label} title=${label} ...${others}>
    <${Icon} name=${icon} />
  </button>`;

/** Copies `text`, which may be a function that returns it. */
export function CopyButton({ text, label = "Copy" }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async (event) => {
    event.stopPropagation();
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
      setCopied(true);
    } catch {
      // Browsers allow it only on https and on localhost.
      toast("The browser does not allow this page to copy. Select the text instead.", "error");
    }
  };
  return html`<${IconButton} icon=${copied ? "check" : "copy"} label=${copied ? "Copied" : label} onClick=${copy} />`;
}

// Colours of statuses: of instances, of invocations, of the host, of functions.
const TONES = {
  running: "blue",
  continuedasnew: "blue",
  starting: "blue",
  initialized: "blue",
  pending: "grey",
  completed: "green",
  succeeded: "green",
  ok: "green",
  failed: "red",
  error: "red",
  critical: "red",
  terminated: "grey",
  canceled: "grey",
  suspended: "yellow",
  stopping: "yellow",
  stopped: "grey",
  disabled: "grey",
  offline: "grey",
  warning: "yellow",
  information: "plain",
};

/** A status as a coloured label. `tone`: "blue", "green", "red", "yellow", "grey"; default: by the status. */
export function StatusBadge({ status, tone, title }) {
  const colour = tone ?? TONES[String(status).toLowerCase()] ?? "grey";
  return html`<span class=${`badge ${colour}`} title=${title}>${status}</span>`;
}

/** A time as "12 s ago", with the exact time as tooltip. */
export function RelativeTime({ time }) {
  const [, setTick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setTick((tick) => tick + 1), 5000);
    return () => clearInterval(timer);
  }, []);
  if (!time) return html`<span class="muted">–</span>`;
  return html`<time dateTime=${time} title=${`${clockTime(time)} (${time})`}>${relative(time)}</time>`;
}

/** An error, with a button that tries again. */
export const ErrorBox = ({ error, onRetry }) =>
  html`<div class="message error" role="alert">
    <${Icon} name="warning" />
    <div class="grow pre">${error.message ?? String(error)}</div>
    ${onRetry && html`<${Button} icon="refresh" onClick=${onRetry}>Try again</${Button}>`}
  </div>`;

/** A hint, warning ("warning") or error ("error"). */
export const Message = ({ kind = "info", children }) =>
  html`<div class=${`message ${kind}`} role="note">
    ${kind !== "info" && html`<${Icon} name="warning" />`}
    <div class="grow">${children}</div>
  </div>`;

/** What a list says when it is empty. */
export const Empty = ({ title, children }) =>
  html`<div class="empty"><strong>${title}</strong>${children && html`<div>${children}</div>`}</div>`;

/** A placeholder while data is loaded. */
export const Loading = () => html`<div class="loading" role="status" aria-label="Loading"><span></span></div>`;

/** A framed section with a heading. `actions`: at the right of the heading. */
export const Panel = ({ title, actions, children, flush = false }) =>
  html`<section class="panel">
    ${(title || actions) && html`<header><h2>${title}</h2><div class="actions">${actions}</div></header>`}
    <div class=${flush ? "body flush" : "body"}>${children}</div>
  </section>`;

/** Facts as a list of names and values: `items` = [["Name", value], …]; null values are left out. */
export const Facts = ({ items }) =>
  html`<dl class="facts">
    ${items
      .filter((item) => item && item[1] !== null && item[1] !== undefined)
      .map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;

/** The head of a page. `subtitle`: below the title; `actions`: at the right. */
export const PageHead = ({ title, subtitle, actions }) =>
  html`<header class="page-head">
    <div class="grow">
      <h1>${title}</h1>
      ${subtitle && html`<div class="subtitle">${subtitle}</div>`}
    </div>
    <div class="actions">${actions}</div>
  </header>`;

/** A page that has no data yet. `error`: why it has none; null while it is loaded. */
export const NotLoaded = ({ title, error, onRetry }) =>
  html`<${PageHead} title=${title} />${error ? html`<${ErrorBox} error=${error} onRetry=${onRetry} />` : html`<${Loading} />`}`;

/** A text field for filters; the key "/" puts the cursor into the first one of a page. */
export const SearchField = ({ value, onInput, placeholder, label = placeholder, ...others }) =>
  html`<label class="search">
    <${Icon} name="search" />
    <input
      type="search"
      data-search
      value=${value}
      placeholder=${placeholder}
      aria-label=${label}
      onInput=${(event) => onInput(event.currentTarget.value)}
      ...${others}
    />
  </label>`;
