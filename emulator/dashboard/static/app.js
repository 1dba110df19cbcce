// The frame of all pages: navigation, keyboard, theme, key dialog. It loads the module of a page when it is opened.

import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./html.js";
import { needsKey, setAccessKey, takeKeyFromAddress } from "./api.js";
import { useData } from "./data.js";
import { onConnection } from "./events.js";
import { onOldData } from "./outages.js";
import { address, match, navigate, useRoute } from "./router.js";
import { clockTime, setHostTime } from "./format.js";
import { Button, Empty, ErrorBox, IconButton, Loading, PageHead, StatusBadge } from "./components/basics.js";
import { Dialog } from "./components/dialog.js";
import { Icon } from "./components/icons.js";
import { Toasts } from "./components/toast.js";
import { pages } from "./pages/index.js";

const GO_PAUSE = 1200;

function App() {
  const route = useRoute();
  const { data: host, error } = useData("home", {}, { live: true, every: 5000 });
  if (host) setHostTime(host.now);
  const [dialog, setDialog] = useState(null);
  const [connected, setConnected] = useState(true);
  const [old, setOld] = useState(null);
  useEffect(() => onConnection(setConnected), []);
  useEffect(() => onOldData(setOld), []);
  useEffect(() => needsKey((status) => setDialog({ kind: "key", status })), []);
  useKeyboard(setDialog);
  const current = pages.map((page) => ({ page, params: match(page.path, route.path) })).find(({ params }) => params);
  const section = route.path[0] ?? "";
  useEffect(() => {
    const title = current?.page.nav ?? route.path.at(-1) ?? "";
    document.title = [title, host?.app, "azemu"].filter(Boolean).join(" · ");
  }, [route, host?.app]);
  useEffect(() => {
    // On narrow screens the navigation is a bar that scrolls.
    document.querySelector(".sidebar [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [section]);
  // A host that refuses the key does respond.
  const lost = (!connected && ![401, 403].includes(error?.status)) || error?.status === 0;
  return html`
    <a class="skip" href="#main" onClick=${(event) => focusMain(event)}>Skip to the content</a>
    <nav class="sidebar" aria-label="Pages">
      <a class="brand" href=${address([])} aria-label="azemu, Home"><img src="static/icon.svg" alt="" width="22" height="22" /><span>azemu</span></a>
      <ul>
        ${pages
          .filter(({ nav }) => nav)
          .map(
            ({ path, nav, icon, key }) =>
              html`<li key=${path}>
                <a
                  href=${address(path.split("/").filter(Boolean))}
                  aria-current=${path === section ? "page" : undefined}
                  aria-label=${nav}
                  title=${`${nav} (g ${key})`}
                >
                  <${Icon} name=${icon} /><span>${nav}</span>
                </a>
              </li>`,
          )}
      </ul>
      <div class="foot">
        ${host &&
        html`<div class="host">
          <div class="app-name" title=${host.folder}>${host.app}</div>
          <div>
            <${StatusBadge} status=${lost ? "Not reachable" : host.state} tone=${lost ? "red" : undefined} />
            <span class="muted"> :${host.port}</span>
          </div>
        </div>`}
        <div class="row">
          <${ThemeButton} />
          <${IconButton} icon="help" label="Keyboard shortcuts (?)" onClick=${() => setDialog({ kind: "help" })} />
        </div>
      </div>
    </nav>
    <main id="main" tabindex="-1">
      ${lost &&
      html`<div class="message warning" role="alert">
        <${Icon} name="warning" />
        <div class="grow">The host does not respond. The page shows what was known last, and tries to connect again.</div>
      </div>`}
      ${!lost && old && html`<${OldData} old=${old} storage=${host?.storage} />`}
      ${current
        ? html`<${PageFrame} key=${current.page.path} ...${current} query=${route.query} lost=${Boolean(lost)} />`
        : html`<${PageHead} title="Not found" />
            <${ErrorBox} error=${{ message: `There is no page ${location.hash}.` }} />`}
    </main>
    ${dialog?.kind === "help" && html`<${HelpDialog} onClose=${() => setDialog(null)} />`}
    ${dialog?.kind === "key" && html`<${KeyDialog} status=${dialog.status} />`}
    <${Toasts} />
  `;
}

/** What the page shows is old, or it has nothing to show, because of the storage. */
function OldData({ old, storage }) {
  // The page itself shows the error.
  if (old.error && !old.hasData) return null;
  const since = clockTime(old.since, { milliseconds: false });
  return html`<div class="message warning" role="alert">
    <${Icon} name="warning" />
    <div class="grow">
      ${old.hasData ? `The page shows data of ${since}: ` : `Waiting since ${since}: `}
      ${old.error ? old.error.message : html`the storage${storage ? ` (${storage})` : ""} does not respond, or takes long.`}
      ${" "}The page updates itself as soon as there is an answer.
    </div>
  </div>`;
}

function focusMain(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

/** `lost`: the host does not respond. */
function PageFrame({ page, params, query, lost }) {
  const [loaded, setLoaded] = useState(null);
  const [error, setError] = useState(null);
  const [failure, resetFailure] = useErrorBoundary();
  useEffect(() => {
    let left = false;
    page.load().then(
      (module) => left || setLoaded({ Page: module.default }),
      (problem) => left || setError(problem),
    );
    return () => {
      left = true;
    };
  }, [page]);
  const wasLost = useRef(lost);
  useEffect(() => {
    // Browsers do not load a module again that they could not load once.
    if (error && wasLost.current && !lost) location.reload();
    wasLost.current = lost;
  }, [error, lost]);
  if (failure) return html`<${ErrorBox} error=${failure} onRetry=${resetFailure} />`;
  if (error && lost) return html`<${Empty} title="This page opens when the host responds again" />`;
  if (error) return html`<${ErrorBox} error=${error} onRetry=${() => location.reload()} />`;
  return loaded ? html`<${loaded.Page} params=${params} query=${query} />` : html`<${Loading} />`;
}

function ThemeButton() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? system);
  const other = theme === "dark" ? "light" : "dark";
  const change = () => {
    document.documentElement.dataset.theme = other;
    localStorage.setItem("azemu.theme", other);
    setTheme(other);
  };
  return html`<${IconButton} icon=${theme === "dark" ? "sun" : "moon"} label=${`Use the ${other} theme`} onClick=${change} />`;
}

/** Shortcuts of all pages. Not while the user types, or a dialog is open. */
function useKeyboard(setDialog) {
  useEffect(() => {
    let goUntil = 0;
    const onKey = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input, textarea, select, [contenteditable]")) {
        if (event.key === "Escape") event.target.blur();
        return;
      }
      if (document.querySelector("dialog[open]")) return;
      if (Date.now() < goUntil) {
        goUntil = 0;
        const page = pages.find(({ key }) => key === event.key);
        if (page) {
          event.preventDefault();
          navigate(page.path.split("/").filter(Boolean));
          return;
        }
      }
      if (event.key === "g") goUntil = Date.now() + GO_PAUSE;
      else if (event.key === "?") setDialog({ kind: "help" });
      else if (event.key === "/") {
        const field = document.querySelector("main [data-search]");
        if (!field) return;
        event.preventDefault();
        field.focus();
        field.select();
      }
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}

function HelpDialog({ onClose }) {
  const keys = [
    ["/", "search on this page"],
    ...pages.filter(({ key }) => key).map(({ key, nav }) => [`g ${key}`, `go to ${nav}`]),
    ["Esc", "leave a field, close a dialog"],
    ["?", "this list"],
  ];
  return html`<${Dialog} title="Keyboard shortcuts" onClose=${onClose}>
    <dl class="shortcuts">
      ${keys.map(
        ([key, text]) =>
          html`<div key=${key}><dt>${key.split(" ").map((part) => html`<kbd>${part}</kbd> `)}</dt><dd>${text}</dd></div>`,
      )}
    </dl>
  </${Dialog}>`;
}

function KeyDialog({ status }) {
  const [key, setKey] = useState("");
  const save = () => {
    if (!key.trim()) return;
    setAccessKey(key.trim());
    location.reload();
  };
  return html`<${Dialog}
    title="Access key"
    onClose=${null}
    onSubmit=${save}
    actions=${html`<${Button} kind="primary" onClick=${save}>Continue</${Button}>`}
  >
    <p>
      The host was started with <code>--enable-auth</code>.
      ${status === 403 ? " The key that you gave is valid, but it is not the master key." : ""} Enter the master key. It is
      in the file <code>host.json</code> of the folder <code>.azemu/secrets</code> in the app's folder.
    </p>
    <label class="field">
      <span>Master key</span>
      <input type="password" autocomplete="off" value=${key} onInput=${(event) => setKey(event.currentTarget.value)} />
    </label>
  </${Dialog}>`;
}

takeKeyFromAddress();
render(html`<${App} />`, document.getElementById("app"));
