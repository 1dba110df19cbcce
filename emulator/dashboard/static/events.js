// Server-sent events, read with fetch: EventSource cannot send the access key as a header.
//
//   const stop = follow("logs", { follow: true }, { onEvent, onState });
//   const stop = onChange(() => …);     // something has happened in the host: an invocation, a line of the log

import { ApiError, apiUrl, request } from "./api.js";

const LONGEST_PAUSE = 10000;

/**
 * Read a stream of events and connect again when it ends. Returns a function that stops.
 *
 * `query`: an object, or a function that returns one for each connection (to continue behind the last event).
 * `onEvent(event)`: for each event, parsed. `onState("open" | "closed", error)`.
 */
export function follow(path, query, { onEvent, onState = () => {} }) {
  const abort = new AbortController();
  (async () => {
    let pause = 500;
    while (!abort.signal.aborted) {
      if (document.hidden) await becomesVisible(abort.signal);
      // Browsers open six connections to a host, for all tabs together. Tabs that nobody sees must not take them.
      const connection = new AbortController();
      const leave = () => (document.hidden || abort.signal.aborted) && connection.abort();
      document.addEventListener("visibilitychange", leave);
      abort.signal.addEventListener("abort", leave);
      try {
        const url = apiUrl(path, typeof query === "function" ? query() : query);
        const response = await request(url, { signal: connection.signal });
        onState("open");
        for await (const event of eventsOf(response)) {
          pause = 500;
          onEvent(event);
        }
        pause = 500;
        onState("closed");
      } catch (error) {
        if (abort.signal.aborted) return;
        if (connection.signal.aborted) continue;
        onState("closed", error);
        pause = Math.min(pause * 2, LONGEST_PAUSE);
      } finally {
        document.removeEventListener("visibilitychange", leave);
        abort.signal.removeEventListener("abort", leave);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  })();
  return () => abort.abort();
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
