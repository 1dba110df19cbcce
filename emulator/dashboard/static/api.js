// Requests to the dashboard's API and to the host, with the access key.
//
//   await get("functions");                                        // GET /azemu/api/functions
//   await send("POST", "queues/orders/messages", { text });        // throws ApiError
//
// With --enable-auth the host needs the master key. It comes from `#code=…` or from the dialog that the app opens when
// `needsKey` is called, and is kept for this tab only (sessionStorage).

import { decoded } from "./router.js";

const KEY = "azemu.key";

/** An error response. `status`: 0 if the host could not be reached. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The access key; "" if there is none, or if what was given cannot be the value of a header. */
export function accessKey() {
  const key = sessionStorage.getItem(KEY) || "";
  return /^[\x21-\x7e]*$/.test(key) ? key : "";
}

export function setAccessKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** Take the key out of the address, so that it is neither shown nor shared with a copied link. */
export function takeKeyFromAddress() {
  const match = /[#&?]code=([^&]*)/.exec(location.hash);
  if (!match) return;
  setAccessKey(decoded(match[1]));
  history.replaceState(null, "", location.pathname + location.hash.replace(match[0], "").replace(/^#?$/, "#/"));
}

let onKeyNeeded = () => {};

/** Register what to do when the host refuses a request for its key. */
export function needsKey(callback) {
  onKeyNeeded = callback;
}

/** The URL of an endpoint. `query`: members that are null, undefined or "" are left out. */
export function apiUrl(path, query = {}) {
  // Browsers take an instance id such as ".." for the folder above, so it is sent as a parameter.
  const dots = path.split("/").find((segment) => segment === "." || segment === "..");
  if (dots) return apiUrl(path.split("/").map((segment) => (segment === dots ? "-" : segment)).join("/"), { ...query, dots });
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `api/${path}${text ? `?${text}` : ""}`;
}

/** Fetch a URL of this host with the access key. Throws ApiError for errors; returns the Response. */
export async function request(url, options = {}) {
  const headers = new Headers(options.headers);
  if (accessKey()) headers.set("x-functions-key", accessKey());
  let response;
  try {
    response = await fetch(url, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The host does not respond. It may have been stopped, or it is restarting.");
  }
  if (response.ok) return response;
  if (response.status === 401 || response.status === 403) {
    // A refusal with a text has another reason than the key.
    const text = await messageOf(response);
    if (!text) onKeyNeeded(response.status);
    throw new ApiError(response.status, text || "The host needs its master key.");
  }
  throw new ApiError(response.status, (await messageOf(response)) || `The host responded with ${response.status}.`);
}

async function messageOf(response) {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text);
    return typeof error === "string" ? error : error.message;
  } catch {
    return text.slice(0, 2000);
  }
}

/** GET an endpoint; returns its JSON. */
export async function get(path, query, options) {
  return (await request(apiUrl(path, query), options)).json();
}

/** Call an endpoint with a JSON body; returns its JSON, or null for an empty response. */
export async function send(method, path, body, query) {
  const options = { method };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  const text = await (await request(apiUrl(path, query), options)).text();
  return text ? JSON.parse(text) : null;
}
