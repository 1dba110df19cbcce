// Comparison of an instance with another run of the same orchestrator.

import { html, useState } from "../html.js";
import { useData } from "../data.js";
import { count, duration, plural } from "../format.js";
import { address, setQuery } from "../router.js";
import { Button, Empty, ErrorBox, Loading, RelativeTime, StatusBadge } from "../components/basics.js";
import { Table } from "../components/table.js";
import { preview } from "./payloads.js";
import { KINDS } from "./timeline.js";

const CHANGES = { same: ["same", "grey"], outcome: ["other outcome", "yellow"], onlyLeft: ["only here", "red"], onlyRight: ["only there", "red"] };

export function Comparison({ path, id, name, other }) {
  const [text, setText] = useState(other);
  const { data: runs } = useData("instances", { name, sort: "created", limit: 50 });
  const choose = (event) => {
    event?.preventDefault();
    setQuery({ with: text.trim() });
  };
  const others = (runs?.instances ?? []).filter(({ instanceId }) => instanceId !== id);
  return html`<div class="stack">
    <form class="toolbar" onSubmit=${choose}>
      <label class="check">
        Compare with
        <input
          type="text"
          class="mono"
          list="other-runs"
          placeholder="instance id"
          value=${text}
          onInput=${(event) => setText(event.currentTarget.value)}
          onChange=${(event) => others.some(({ instanceId }) => instanceId === event.currentTarget.value) && setQuery({ with: event.currentTarget.value })}
        />
      </label>
      <datalist id="other-runs">
        ${others.map(({ instanceId, status }) => html`<option key=${instanceId} value=${instanceId}>${status}</option>`)}
      </datalist>
      <${Button} disabled=${!text.trim()} onClick=${choose}>Compare</${Button}>
    </form>
    ${other
      ? html`<${Result} key=${other} path=${path} other=${other} />`
      : html`<section class="panel">
          <${Table}
            label="Other runs"
            rows=${others}
            rowKey=${({ instanceId }) => instanceId}
            onRow=${({ instanceId }) => setQuery({ with: instanceId })}
            empty=${runs && html`<${Empty} title=${`There is no other run of ${name}`}>Instances of other orchestrators can be entered by their id.</${Empty}>`}
            columns=${[
              {
                key: "instanceId",
                title: `Other runs of ${name}`,
                render: ({ instanceId }) =>
                  html`<button type="button" class="link mono" onClick=${() => setQuery({ with: instanceId })}>${instanceId}</button>`,
              },
              { key: "status", title: "Status", render: ({ status }) => html`<${StatusBadge} status=${status} />` },
              { key: "created", title: "Created", render: ({ createdAt }) => html`<${RelativeTime} time=${createdAt} />` },
            ]}
          />
        </section>`}
  </div>`;
}

function Result({ path, other }) {
  const { data, error, reload } = useData(`${path}/comparison`, { with: other });
  const [all, setAll] = useState(false);
  if (!data) return error ? html`<${ErrorBox} error=${error} onRetry=${reload} />` : html`<${Loading} />`;
  const { left, right } = data;
  const steps = data.steps.map((step, index) => ({ ...step, index }));
  const different = steps.filter(({ change }) => change !== "same");
  const shown = all || different.length === 0 || steps.length <= 200 ? steps : different;
  const longest = Math.max(1, ...steps.flatMap((step) => [step.left?.tookMs ?? 0, step.right?.tookMs ?? 0]));
  const facts = [
    ["Status", (side) => html`<${StatusBadge} status=${side.status} />`],
    ["Duration", (side) => duration(side.tookMs)],
    ["Input", (side) => side.input && html`<span class="mono">${preview(side.input, 300)}</span>`],
    ["Output", (side) => side.output && html`<span class="mono">${preview(side.output, 300)}</span>`],
    ["Version", (side) => side.version],
  ].filter(([, show]) => [left, right].some((side) => show(side)));
  return html`<section class="panel">
      <div class="table-frame">
        <table class="table even-columns" aria-label="Both runs">
          <thead><tr><td></td><th>here</th><th>there</th></tr></thead>
          <tbody>
            <tr>
              <th scope="row">Instance</th>
              <td class="mono">${left.instanceId}</td>
              <td><a class="mono" href=${address(["instances", right.instanceId])}>${right.instanceId}</a></td>
            </tr>
            ${facts.map(([title, show]) => html`<tr key=${title}><th scope="row">${title}</th><td>${show(left)}</td><td>${show(right)}</td></tr>`)}
          </tbody>
        </table>
      </div>
    </section>
    <p>
      ${different.length
        ? `${count(different.length)} of ${plural(steps.length, "step")} differ; the first is ${different[0].name}.`
        : `Both runs made the same ${plural(steps.length, "step")}.`}
      ${steps.length > 200 &&
      different.length > 0 &&
      html` <button type="button" class="link" onClick=${() => setAll(!all)}>${all ? "Show differences only" : "Show all steps"}</button>`}
    </p>
    <section class="panel">
      <${Table}
        label="Steps"
        rows=${shown.slice(0, 1000)}
        rowKey=${({ index }) => index}
        columns=${[
          { key: "index", title: "#", align: "right", render: ({ index }) => index + 1 },
          { key: "kind", title: "Kind", render: ({ kind }) => KINDS[kind] },
          { key: "name", title: "Name" },
          {
            key: "change",
            title: "Difference",
            render: ({ change }) => html`<${StatusBadge} status=${CHANGES[change][0]} tone=${CHANGES[change][1]} />`,
          },
          { key: "left", title: "Here", render: ({ left: side }) => html`<${Side} side=${side} longest=${longest} />` },
          { key: "right", title: "There", render: ({ right: side }) => html`<${Side} side=${side} longest=${longest} />` },
        ]}
      />
    </section>`;
}

function Side({ side, longest }) {
  if (!side) return html`<span class="muted">–</span>`;
  const attempts = side.attempts > 1 ? `, ${side.attempts} attempts` : "";
  return html`<div class="took">
    <span>${side.tookMs === null ? side.outcome : duration(side.tookMs)}${attempts}</span>
    ${side.tookMs !== null && html`<i class=${side.outcome} style=${{ width: `${Math.max(1, (side.tookMs / longest) * 100)}%` }} />`}
  </div>`;
}
