// The log lines of one instance, new ones as they come. Lines of replays are left out.

import { html, useEffect, useState } from "../html.js";
import { follow } from "../events.js";
import { clockTime } from "../format.js";
import { Empty, ErrorBox, StatusBadge } from "../components/basics.js";

const MOST = 2000;

export function InstanceLogs({ id }) {
  const [lines, setLines] = useState([]);
  const [error, setError] = useState(null);
  useEffect(() => {
    let last = 0;
    let waiting = [];
    let due = null;
    const show = () => {
      due = null;
      const batch = waiting;
      waiting = [];
      setLines((old) => [...old, ...batch].slice(-MOST));
    };
    const stop = follow("logs", () => ({ instance: id, replay: "false", follow: "true", after: last }), {
      onEvent: (line) => {
        last = line.seq;
        waiting.push(line);
        // Stored lines come in large numbers at once.
        due ??= setTimeout(show, 50);
      },
      onState: (state, problem) => setError(problem ?? null),
    });
    return () => {
      stop();
      clearTimeout(due);
    };
  }, [id]);
  if (error && !lines.length) return html`<${ErrorBox} error=${error} />`;
  if (!lines.length) return html`<${Empty} title="No lines of this instance">The host keeps the lines of its own run only, the last 20,000.</${Empty}>`;
  return html`<section class="panel">
    <div class="log-lines" tabindex="0" aria-label="Log lines">
      ${lines.map(
        ({ seq, time, level, message, function: name }) =>
          html`<div key=${seq} class="log-line">
            <time class="muted">${clockTime(time)}</time><${StatusBadge} status=${level} /><span class="muted function">${name ?? ""}</span>
            <span class="pre">${message}</span>
          </div>`,
      )}
    </div>
  </section>`;
}
