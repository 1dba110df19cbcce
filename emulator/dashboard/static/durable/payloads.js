// Payloads of durable functions: stored texts and the values in them.
//
// The durable client of Python encodes a value twice: the stored text is a JSON string that contains JSON. Results of
// functions are encoded once. Both are shown as the value that user code sees.

import { html, useState } from "../html.js";
import { get } from "../api.js";
import { size } from "../format.js";
import { JsonView, readable } from "../components/json.js";
import { attempt } from "../components/toast.js";

/** The JSON text of the value in a stored text; the stored text itself if it is not JSON. */
export function decodedText(stored) {
  try {
    const value = JSON.parse(stored);
    if (typeof value !== "string") return stored;
    JSON.parse(value);
    return value;
  } catch {
    return stored;
  }
}

/** The text of a request body with this JSON, as the durable client of Python sends it; undefined for no value. */
export function encodedBody(jsonText) {
  return jsonText.trim() === "" ? undefined : JSON.stringify(jsonText.trim());
}

/** Return why a text is not JSON, or null. Nothing at all is a missing value. */
export function jsonProblem(text) {
  if (text.trim() === "") return null;
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return `This is not JSON (${error.message}). A text needs double quotes.`;
  }
}

/** The first characters of a payload in one line. */
export function preview(payload, length = 90) {
  if (!payload) return "";
  const text = readable(decodedText(payload.text));
  return text.length > length ? `${text.slice(0, length)}…` : text;
}

/**
 * A payload `{ text, length }`, of which `text` may be the beginning only. `path`, `query`: the endpoint that returns
 * the whole one.
 */
export function Payload({ payload, label, path, query }) {
  const [whole, setWhole] = useState(null);
  if (!payload) return html`<span class="muted">none</span>`;
  const text = whole ?? payload.text;
  const isCut = whole === null && payload.length > payload.text.length;
  const load = async () => {
    const loaded = await attempt(() => get(path, query));
    if (loaded) setWhole(loaded.text);
  };
  return html`<${JsonView} text=${isCut ? text : decodedText(text)} label=${label} />
    ${isCut &&
    html`<button type="button" class="link" onClick=${load}>
      The first ${size(payload.text.length)} of ${size(payload.length)}. Load all
    </button>`}`;
}
