// Actions on instances and entities, through the durable management API that Azure has, too.

import { request } from "../api.js";
import { encodedBody } from "./payloads.js";

const WEBHOOK = "/runtime/webhooks/durabletask";

/**
 * A segment of a path of the durable API, which decodes it twice: only so a plus, or text such as %41, stays what it is.
 * Encoded twice, a dot is not taken for the folder itself: purging "." would purge all instances.
 */
export const segment = (text) =>
  /[+%]|^\.{1,2}$/.test(text) ? encodeURIComponent(encodeURIComponent(text).replaceAll(".", "%2E")) : encodeURIComponent(text);

// `json`: a value as JSON text; it is sent as the durable client of Python does. `body`: sent as it is.
async function call(method, path, { query = {}, json, body = json === undefined ? undefined : encodedBody(json) } = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const text = new URLSearchParams(given).toString();
  const options = { method };
  if (body !== undefined) {
    options.body = body;
    options.headers = { "Content-Type": "application/json" };
  }
  try {
    return await request(`${WEBHOOK}/${path}${text ? `?${text}` : ""}`, options);
  } catch (error) {
    throw explained(error);
  }
}

// The extension answers some refusals without a text.
const REASONS = {
  404: "The instance does not exist any more.",
  410: "The instance has ended, so it cannot receive anything.",
};

function explained(error) {
  const reason = /^The host responded with/.test(error.message) && REASONS[error.status];
  if (reason) error.message = reason;
  // Other refusals are a JSON object or a JSON string.
  else
    try {
      const value = JSON.parse(error.message);
      error.message = typeof value === "string" ? value : (value.Message ?? value.ExceptionMessage ?? error.message);
    } catch {
      // It is a plain text already.
    }
  return error;
}

/** Start an orchestration; returns its instance id. `json`: text of the input; `id` empty: a new one. */
export async function start(name, json, id) {
  const response = await call("POST", `orchestrators/${segment(name)}${id ? `/${segment(id)}` : ""}`, { json });
  return (await response.json()).id;
}

/** The body of a request that raises an event. `asText`: as `raise_event` of the Python client sends it. */
export function eventBody(json, asText) {
  // Without a value, the client sends null.
  const value = json.trim() || "null";
  return asText ? encodedBody(value) : value;
}

/** Raise an event. An orchestrator gets the JSON value, or, `asText`, the JSON as a string. */
export const raiseEvent = (id, name, json, asText) =>
  call("POST", `instances/${segment(id)}/raiseEvent/${segment(name)}`, { body: eventBody(json, asText) });

export const signal = (entity, key, operation, json) =>
  call("POST", `entities/${segment(entity)}/${segment(key || "$")}`, { query: { op: operation }, json });

export const suspend = (id, reason) => call("POST", `instances/${segment(id)}/suspend`, { query: { reason } });
export const resume = (id, reason) => call("POST", `instances/${segment(id)}/resume`, { query: { reason } });
export const terminate = (id, reason) => call("POST", `instances/${segment(id)}/terminate`, { query: { reason } });
export const rewind = (id, reason) => call("POST", `instances/${segment(id)}/rewind`, { query: { reason } });
export const purge = (id) => call("DELETE", `instances/${segment(id)}`);

/** Start the orchestration again with the same input; returns the id of the new run. */
export async function restart(id, newId) {
  const response = await call("POST", `instances/${segment(id)}/restart`, { query: { restartWithNewInstanceId: String(newId) } });
  return (await response.json()).id;
}

/** Actions on instances. `allowed(status)`: whether an instance with this status takes it. `danger`: asks first. */
export const ACTIONS = {
  suspend: { title: "Suspend", done: "suspended", run: suspend, reason: true, allowed: (status) => ["Running", "Pending"].includes(status) },
  resume: { title: "Resume", done: "resumed", run: resume, reason: true, allowed: (status) => status === "Suspended" },
  terminate: {
    title: "Terminate",
    done: "terminated",
    run: terminate,
    reason: true,
    danger: true,
    explain: "Terminated orchestrations do not run their remaining code. Activities and sub-orchestrations that they have started continue.",
    allowed: (status) => !ended(status),
  },
  rewind: {
    title: "Rewind",
    done: "rewound",
    run: rewind,
    reason: true,
    explain: "The failed steps are removed from the history and run again.",
    allowed: (status) => status === "Failed",
  },
  restart: {
    title: "Restart",
    done: "started again",
    run: (id) => restart(id, true),
    explain: "A new instance with the same orchestrator and input is started.",
    allowed: () => true,
  },
  purge: {
    title: "Purge",
    done: "purged",
    run: purge,
    danger: true,
    explain: "Status, history and payloads are deleted and cannot be restored.",
    allowed: (status) => ended(status),
  },
};

export const ended = (status) => ["Completed", "Failed", "Terminated", "Canceled"].includes(status);
