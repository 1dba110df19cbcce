// Server-sent events, read with fetch: EventSource cannot send the access key as a header.
//
//   const stop = follow("logs", { follow: true }, { onEvent, onState });
//   const stop = onChange(() => …);     // something has happened in the host: an invocation, a line of the log

import { ApiError, apiUrl, request } from "./api.js";

const LONGEST_PAUSE = 10000;
// Browsers open six connections to a host, for all tabs and windows together. Two are left for requests.
const MOST_STREAMS = 4;
// A stream that finds no free place is read for a moment from time to time instead.
const GLANCE = 400;
const GLANCE_PAUSE = 2000;

/**
 * Read a stream of events and connect again when it ends. Returns a function that stops.
 *
 * `query`: an object, or a function that returns one for each connection (to continue behind the last event).
 * `onEvent(event)`: for each event, parsed. `onState("open" | "closed", error)`. `hasEnd`: a stream that is read from begin to end.
 */
export function follow(path, query, { onEvent, onState = () => {}, hasEnd = false }) {
  const abort = new AbortController();
  (async () => {
    let pause = 500;
    while (!abort.signal.aborted) {
      if (document.hidden) await becomesVisible(abort.signal);
      if (abort.signal.aborted) return;
      // Hidden tabs must not take connections from those that the user sees.
      const connection = new AbortController();
      const leave = () => (document.hidden || abort.signal.aborted) && connection.abort();
      document.addEventListener("visibilitychange", leave);
      abort.signal.addEventListener("abort", leave);
      const freePlace = hasEnd ? () => {} : await takePlace();
      let glance = null;
      try {
        const url = apiUrl(path, typeof query === "function" ? query() : query);
        const response = await request(url, { signal: connection.signal });
        onState("open");
        if (!freePlace) glance = setTimeout(() => connection.abort(), GLANCE);
        for await (const event of eventsOf(response)) {
          pause = 500;
          onEvent(event);
        }
        pause = 500;
        onState("closed");
      } catch (error) {
        if (abort.signal.aborted) return;
        if (connection.signal.aborted) {
          if (document.hidden) continue;
          pause = GLANCE_PAUSE;
        } else {
          onState("closed", error);
          pause = Math.min(pause * 2, LONGEST_PAUSE);
        }
      } finally {
        clearTimeout(glance);
        freePlace?.();
        document.removeEventListener("visibilitychange", leave);
        abort.signal.removeEventListener("abort", leave);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  })();
  return () => abort.abort();
}

/** Take one of the places for streams, which all windows share; returns a function that frees it, or null if none is free. */
async function takePlace() {
  // Browsers have locks only on https and on localhost.
  if (!navigator.locks) return () => {};
  for (let number = 0; number < MOST_STREAMS; number += 1) {
    const free = await new Promise((resolve) => {
      navigator.locks.request(`azemu.stream.${location.host}.${number}`, { ifAvailable: true }, (lock) => {
        if (!lock) return resolve(null);
        return new Promise((release) => resolve(release));
      });
    });
    if (free) return free;
  }
  return null;
}

/** Wait until the tab is shown, or `signal` is aborted. */
const becomesVisible = (signal) =>
  new Promise((resolve) => {
    const end = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", end);
      resolve();
    };
    document.addEventListener("visibilitychange", end);
    signal.addEventListener("abort", end);
  });

async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const data = lines
        .filter((line) => line.startsWith("data: "))
        .map((line) => line.slice(6))
        .join("\n");
      if (!data) continue;
      const event = JSON.parse(data);
      // The host could not continue, for example because its storage is down.
      if (lines.includes("event: error")) throw new ApiError(event.error.status, event.error.message);
      yield event;
    }
  }
}

// One stream for all parts of a page, open while at least one of them listens.
const listeners = new Set();
const stateListeners = new Set();
let stop = null;
let connected = true;

/** Call `callback` when something has changed in the host. Returns a function that ends it. */
export function onChange(callback) {
  listeners.add(callback);
  let opened = false;
  stop ??= follow("changes", {}, {
    onEvent: (event) => listeners.forEach((listener) => listener(event)),
    onState: (state) => {
      // What has happened while there was no connection is not known.
      if (state === "open" && opened) listeners.forEach((listener) => listener({}));
      opened ||= state === "open";
      connected = state === "open";
      stateListeners.forEach((listener) => listener(connected));
    },
  });
  return () => {
    listeners.delete(callback);
    if (!listeners.size && stop) {
      stop();
      stop = null;
      connected = true;
    }
  };
}

/** Call `callback(connected)` when the connection to the host is lost or found again. */
export function onConnection(callback) {
  stateListeners.add(callback);
  return () => stateListeners.delete(callback);
}
