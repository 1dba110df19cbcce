// Home: the state of the host, its storage, its task hub and its queues.

import { html } from "../html.js";
import { useData } from "../api.js";
import { ErrorBox, Facts, Loading, PageHead, Panel, RelativeTime, StatusBadge } from "../components/basics.js";

export default function HomePage() {
  const { data, error, reload } = useData("home", {}, { live: true, every: 5000 });
  if (!data) return error ? html`<${ErrorBox} error=${error} onRetry=${reload} />` : html`<${Loading} />`;
  return html`
    <${PageHead} title=${data.app} subtitle=${data.folder} actions=${html`<${StatusBadge} status=${data.state} />`} />
    <${Panel} title="Host">
      <${Facts}
        items=${[
          ["Version", `azemu ${data.version}, Python ${data.python}`],
          ["Started", html`<${RelativeTime} time=${data.startedAt} />`],
          ["Storage", data.storage ?? "none"],
          ["Task hub", data.taskHub],
          ["Functions", data.functions],
          ["Invocations", data.startedInvocations],
        ]}
      />
    </${Panel}>
  `;
}
