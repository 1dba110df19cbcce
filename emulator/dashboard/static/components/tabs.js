// Tabs, controlled by the page: <${Tabs} tabs=${[{ id, title, count }]} active=${id} onChange=${(id) => …} />

import { html } from "../html.js";

/** `active`: the id of the open tab; the page renders its content. Arrow keys change the tab. */
export function Tabs({ tabs, active, onChange, label }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const index = tabs.findIndex(({ id }) => id === active);
    const next = tabs[(index + step + tabs.length) % tabs.length];
    onChange(next.id);
    event.currentTarget.querySelector(`[data-tab="${CSS.escape(next.id)}"]`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${tabs.map(
      ({ id, title, count }) =>
        html`<button
          key=${id}
          type="button"
          role="tab"
          data-tab=${id}
          aria-selected=${id === active}
          tabindex=${id === active ? 0 : -1}
          onClick=${() => onChange(id)}
        >
          ${title}${count !== undefined && count !== null && html`<span class="count">${count}</span>`}
        </button>`,
    )}
  </div>`;
}
