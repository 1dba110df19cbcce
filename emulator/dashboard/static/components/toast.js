// Short notices at the edge of the page: toast("Message deleted."), toast(error.message, "error").

import { html, useEffect, useState } from "../html.js";

const SECONDS = { info: 4, success: 4, error: 10 };
let notices = [];
let show = () => {};
let last = 0;

/** `kind`: "info", "success" or "error". */
export function toast(text, kind = "info") {
  const notice = { id: ++last, text, kind };
  notices = [...notices.slice(-4), notice];
  show(notices);
  setTimeout(() => dismiss(notice.id), SECONDS[kind] * 1000);
}

function dismiss(id) {
  notices = notices.filter((notice) => notice.id !== id);
  show(notices);
}

/** Run an action of a button and report how it has ended. Returns its result; undefined after an error. */
export async function attempt(work, done) {
  try {
    const result = await work();
    if (done) toast(typeof done === "function" ? done(result) : done, "success");
    return result;
  } catch (error) {
    toast(error.message, "error");
    return undefined;
  }
}

/** The place of the notices; once in the app. */
export function Toasts() {
  const [shown, setShown] = useState(notices);
  useEffect(() => {
    show = setShown;
  }, []);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map(
      ({ id, text, kind }) =>
        html`<button key=${id} type="button" class=${`toast ${kind}`} title="Dismiss" onClick=${() => dismiss(id)}>${text}</button>`,
    )}
  </div>`;
}
