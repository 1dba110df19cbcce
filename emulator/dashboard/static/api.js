// Requests to the dashboard's API and to the host, with the access key, and hooks that load data for a page.
//
//   const { data, error, reload } = useData("functions");          // GET /azemu/api/functions
//   await send("POST", "queues/orders/messages", { text });        // throws ApiError
//
// With --enable-auth the host needs the master key. It comes from `#code=…` or from the dialog that the app opens when
// `needsKey` is called, and is kept for this tab only (sessionStorage).

import { useCallback, useEffect, useRef, useState } from "./html.js";
import { onChange } from "./events.js";
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
function accessKey() {
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

// Data of pages that is old, because the host has had no answer from its storage: by loader, { since, hasData, error }.
const oldData = new Map();
const oldDataListeners = new Set();
// Shorter waits are usual, for example while a large history is read.
const LONG_WAIT = 3000;

/**
 * Call `callback` with the oldest data of the page, or null when all of it is up to date. Returns a function that ends it.
 *
 * `since`: when the data was read (ms), or, without `hasData`, since when it is awaited. `error`: null while there is no answer.
 */
export function onOldData(callback) {
  oldDataListeners.add(callback);
  return () => oldDataListeners.delete(callback);
}

/** The requests of one loader, for `onOldData`: call `asked`, then `answered`; `ended` when the page is left. */
export function answersOfLoader() {
  const loader = {};
  let last = null;
  let timer = null;
  const change = (value) => {
    if (value) oldData.set(loader, value);
    else if (!oldData.delete(loader)) return;
    const [oldest = null] = [...oldData.values()].sort((a, b) => a.since - b.since);
    oldDataListeners.forEach((listener) => listener(oldest));
  };
  return {
    asked() {
      const since = last ?? Date.now();
      clearTimeout(timer);
      // An error that was reported is still true until there is an answer.
      if (!oldData.has(loader)) timer = setTimeout(() => change({ since, hasData: last !== null, error: null }), LONG_WAIT);
    },
    answered(error = null) {
      clearTimeout(timer);
      if (isOutage(error)) change({ since: oldData.get(loader)?.since ?? last ?? Date.now(), hasData: last !== null, error });
      else {
        last = Date.now();
        change(null);
      }
    },
    ended() {
      clearTimeout(timer);
      change(null);
    },
  };
}

/** Whether an error ends without the user: the host or its storage does not respond. */
export const isOutage = (error) => error?.status === 0 || error?.status === 503;

/** Time until a page tries again after an outage, in ms. */
export const RETRY_PAUSE = 3000;

/**
 * Load an endpoint and load it again when something has changed in the host. `path` null: load nothing.
 *
 * `live`: reload when the host reports a change (at most every `pause` ms). `every`: reload at least every so many ms.
 * Returns { data, error, loading, reload }. `data` stays while it is loaded again.
 */
export function useData(path, query = {}, { live = false, every = 0, pause = 700 } = {}) {
  const [state, setState] = useState({ data: null, error: null, loading: path !== null });
  const url = path === null ? null : apiUrl(path, query);
  const load = useRef(null);
  useEffect(() => {
    if (url === null) {
      setState({ data: null, error: null, loading: false });
      return undefined;
    }
    const abort = new AbortController();
    const answers = answersOfLoader();
    let running = false;
    let again = false;
    let retry = null;
    load.current = async () => {
      if (running) {
        again = true;
        return;
      }
      running = true;
      clearTimeout(retry);
      answers.asked();
      try {
        const data = await (await request(url, { signal: abort.signal })).json();
        answers.answered();
        setState({ data, error: null, loading: false });
      } catch (error) {
        if (!abort.signal.aborted) {
          answers.answered(error);
          setState((old) => ({ data: old.data, error, loading: false }));
          if (isOutage(error)) retry = setTimeout(() => document.hidden || load.current(), RETRY_PAUSE);
        }
      }
      running = false;
      if (again && !abort.signal.aborted) {
        again = false;
        load.current();
      }
    };
    // The data of another URL must not be shown as if it were of this one.
    setState({ data: null, error: null, loading: true });
    load.current();
    const timers = [];
    if (every) timers.push(setInterval(() => document.hidden || load.current(), every));
    let due = null;
    const stop = live
      ? onChange(() => {
          due ??= setTimeout(() => {
            due = null;
            if (!document.hidden) load.current();
          }, pause);
        })
      : () => {};
    return () => {
      abort.abort();
      answers.ended();
      stop();
      clearTimeout(due);
      clearTimeout(retry);
      timers.forEach(clearInterval);
    };
  }, [url, live, every, pause]);
  const reload = useCallback(() => load.current && load.current(), []);
  return { ...state, reload };
}
