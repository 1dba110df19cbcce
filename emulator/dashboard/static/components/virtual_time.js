// The virtual time of an app under test: what waits for it, and buttons that let it pass.

import { html } from "../html.js";
import { send } from "../api.js";
import { useData } from "../data.js";
import { clockTime, relative } from "../format.js";
import { Button, Empty, Message, Panel } from "./basics.js";
import { Table } from "./table.js";
import { attempt } from "./toast.js";

const STEPS = [
  { label: "1 min", seconds: 60 },
  { label: "1 h", seconds: 3600 },
  { label: "1 day", seconds: 86400 },
];

export function VirtualTime() {
  const { data, reload } = useData("time", {}, { live: true, every: 5000 });
  if (!data) return null;
  const advance = async (seconds) => {
    await attempt(
      () => send("POST", "time/advance", { seconds }),
      ({ now }) => `It is ${clockTime(now)} now.`,
    );
    reload();
  };
  return html`<${Panel}
    title="Virtual time"
    flush
    actions=${html`
      <${Button} disabled=${data.isFrozen || !data.waiting.length} onClick=${() => advance(null)}>To the next event</${Button}>
      ${STEPS.map(({ label, seconds }) => html`<${Button} key=${label} disabled=${data.isFrozen} onClick=${() => advance(seconds)}>+ ${label}</${Button}>`)}
    `}
  >
    ${data.isFrozen && html`<${Message}>The test has frozen time.</${Message}>`}
    <${Table}
      label="What waits for time"
      columns=${[
        { key: "due", title: "Due", render: ({ due }) => html`<span class="nowrap">${relative(due, Date.parse(data.now))}</span> <span class="muted nowrap">${clockTime(due)}</span>` },
        { key: "where", title: "Waits at", render: ({ where, isSchedule }) => html`<span class="mono">${where}</span> ${isSchedule && html`<span class="muted">schedule</span>`}` },
      ]}
      rows=${data.waiting.map((row, index) => ({ ...row, index }))}
      rowKey=${({ index }) => index}
      empty=${html`<${Empty} title="Nothing waits for time">Time stands still until the test continues.</${Empty}>`}
    />
  </${Panel}>`;
}
