// Data of a page: loaded from the dashboard's API, and loaded again when something has changed in the host.
//
//   const { data, error, reload } = useData("functions");          // GET /azemu/api/functions

import { useCallback, useEffect, useRef, useState } from "./html.js";
import { apiUrl, request } from "./api.js";
import { onChange } from "./events.js";
import { answersOfLoader, isOutage } from "./outages.js";

// Until a page tries again after an outage, in ms.
const RETRY_PAUSE = 3000;

/** Return a function that runs `work` once at a time: calls while it runs lead to one more run, unless `signal` is aborted. */
export function onceAtATime(work, signal) {
  let running = false;
  let again = false;
  return async function run() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    await work();
    running = false;
    if (again && !signal.aborted) {
      again = false;
      run();
    }
  };
}

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
    let retry = null;
    load.current = onceAtATime(async () => {
      clearTimeout(retry);
      answers.asked();
      try {
        const data = await (await request(url, { signal: abort.signal })).json();
        answers.answered();
        setState({ data, error: null, loading: false });
      } catch (error) {
        if (abort.signal.aborted) return;
        answers.answered(error);
        setState((old) => ({ data: old.data, error, loading: false }));
        if (isOutage(error)) retry = setTimeout(() => document.hidden || load.current(), RETRY_PAUSE);
      }
    }, abort.signal);
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
