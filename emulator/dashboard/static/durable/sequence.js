// Sequence diagram of an execution, drawn as SVG. Below it stands nothing else: each arrow has a text for screen readers.

import { html, useState } from "../html.js";
import { useData } from "../data.js";
import { duration } from "../format.js";
import { navigate } from "../router.js";
import { Button, Empty, ErrorBox, Loading } from "../components/basics.js";

const COLUMN = 168;
const LINE = 30;
const HEAD = 54;
const LEFT = 90;
const FIRST_LIMIT = 400;
const ROLES = { client: "client", parent: "parent", orchestrator: "orchestrator", activity: "activity", child: "sub-orchestration", entity: "entity", instance: "instance" };

export function SequenceDiagram({ path }) {
  const [limit, setLimit] = useState(FIRST_LIMIT);
  const { data, error, reload } = useData(`${path}/sequence`, { limit });
  if (!data) return error ? html`<${ErrorBox} error=${error} onRetry=${reload} />` : html`<${Loading} />`;
  if (!data.messages.length) return html`<${Empty} title="The orchestration has not begun">It has no history yet.</${Empty}>`;
  const { lifelines, messages } = data;
  const width = LEFT + lifelines.length * COLUMN;
  const height = HEAD + messages.length * LINE + 20;
  const x = (lifeline) => LEFT + lifeline * COLUMN + COLUMN / 2 - 20;
  const start = Date.parse(messages[0].at);
  return html`<div class="stack">
    <div class="sequence" tabindex="0" role="group" aria-label=${`Sequence diagram with ${messages.length} messages`}>
      <svg width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`}>
        <defs>
          ${["call", "return", "failure", "oneWay"].map(
            (style) =>
              html`<marker key=${style} id=${`arrow-${style}`} class=${style} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto-start-reverse">
                <path d=${style === "call" ? "M0 0 8 4 0 8z" : "M1 1 7 4 1 7"} />
              </marker>`,
          )}
        </defs>
        ${lifelines.map(
          ({ role, name, target }, index) =>
            html`<g key=${index} class=${`lifeline ${role} ${target ? "link" : ""}`} onClick=${() => target && navigate(["instances", target])}>
              <title>${`${ROLES[role]} ${target ?? name}`}</title>
              <line x1=${x(index)} x2=${x(index)} y1=${HEAD - 8} y2=${height - 8} />
              <rect x=${x(index) - 72} y="4" width="144" height="38" rx="5" />
              <text x=${x(index)} y="19" class="role">${ROLES[role]}</text>
              <text x=${x(index)} y="34">${short(name, 20)}</text>
            </g>`,
        )}
        ${messages.map((message, index) => arrow(message, index, lifelines, x, start))}
      </svg>
    </div>
    ${data.isCut &&
    html`<div class="toolbar">
      <span class="muted">The first ${messages.length} messages.</span>
      <${Button} onClick=${() => setLimit(Math.min(limit * 3, 5000))}>Show more</${Button}>
    </div>`}
  </div>`;
}

const short = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

function arrow({ at, from, to, label, style, index: event }, index, lifelines, x, start) {
  const y = HEAD + index * LINE + 18;
  const [source, destination] = [x(from), x(to)];
  const name = (lifeline) => lifelines[lifeline].target ?? lifelines[lifeline].name;
  const text = `${name(from)} to ${name(to)}: ${label}, after ${duration(Math.max(0, Date.parse(at) - start))} (event ${event})`;
  const direction = Math.sign(destination - source);
  return html`<g key=${index} class=${`message ${style}`} role="img" aria-label=${text}>
    <title>${text}</title>
    <text x="8" y=${y + 4} class="time">+${duration(Math.max(0, Date.parse(at) - start))}</text>
    ${style === "note"
      ? html`<rect x=${source - 66} y=${y - 10} width="132" height="20" rx="9" /><text x=${source} y=${y + 4}>${short(label, 20)}</text>`
      : html`<line x1=${source + direction * 3} x2=${destination - direction * 3} y1=${y} y2=${y} marker-end=${`url(#arrow-${style})`} />
          <text x=${source + direction * 12} y=${y - 5} class=${direction > 0 ? "start" : "end"}>${short(label, 22)}</text>`}
  </g>`;
}
