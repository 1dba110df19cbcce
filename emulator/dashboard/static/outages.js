// Outages: which data of the page is old, because the host has had no answer from its storage.
//
//   const answers = answersOfLoader();                 // of each part of a page that loads data
//   answers.asked(); …; answers.answered(error);
//   const stop = onOldData((old) => …);                // null when all data is up to date

// By loader: { since, hasData, error }.
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
