// A view of JSON or text: coloured, indented, capped. Text is escaped by Preact, as all texts of the pages.
//
//   <${JsonView} value=${object} />      <${JsonView} text=${'{"a": 1}'} />

import { html, useState } from "../html.js";
import { size } from "../format.js";
import { CopyButton } from "./basics.js";

const CAP = 20000;
// A string may end with the text, which is cut. Otherwise each quote in it would be tried as the beginning of one.
const TOKENS = /("(?:[^"\\]|\\[^])*(?:"|\\?$))(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;

/** The text in JSON, indented, if it is JSON; else the text itself. */
export const indented = (text) => rewritten(text, 2);

/** The text in one line, with characters instead of escapes such as \u00fc if it is JSON. */
export const readable = (text) => (text.includes("\\u") ? rewritten(text) : text).replace(/\s+/g, " ");

function rewritten(text, indent) {
  try {
    const value = JSON.parse(text);
    // Numbers that JavaScript would round stay as they are written.
    return typeof value === "number" || /\d{16}/.test(text) ? text : JSON.stringify(value, null, indent);
  } catch {
    return text;
  }
}

/**
 * `value`: any JSON value, or `text`: JSON or any other text. `cap`: characters that are shown before "show all".
 * `label`: what it is, for screen readers.
 */
export function JsonView({ value, text, cap = CAP, label = "Value" }) {
  const [all, setAll] = useState(false);
  const full = text === undefined ? JSON.stringify(value, null, 2) : indented(text ?? "");
  if (full === undefined || full === "") return html`<span class="muted">empty</span>`;
  const cut = !all && full.length > cap;
  return html`<div class="json">
    <pre tabindex="0" aria-label=${label}>${coloured(cut ? full.slice(0, cap) : full)}</pre>
    <${CopyButton} text=${text === undefined ? full : text} label=${`Copy ${label.toLowerCase()}`} />
    ${cut &&
    html`<button type="button" class="link" onClick=${() => setAll(true)}>
      Show all ${size(full.length)}
    </button>`}
  </div>`;
}

function coloured(text) {
  // Long texts stay plain: each token is an element of the page.
  if (!/^\s*[[{"]/.test(text) || text.length > 100000) return text;
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(TOKENS)) {
    parts.push(text.slice(end, match.index));
    const [token, string, colon, word] = match;
    const kind = string ? (colon ? "key" : "string") : word ? "word" : "number";
    parts.push(html`<span class=${`j-${kind}`}>${string ?? token}</span>`, colon ?? "");
    end = match.index + token.length;
  }
  parts.push(text.slice(end));
  return parts;
}
