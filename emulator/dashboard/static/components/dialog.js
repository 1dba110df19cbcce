// Modal dialogs, with the browser's own <dialog>: Esc closes, the focus stays inside.
//
//   <${Dialog} title="Raise an event" onClose=${close} actions=${html`<${Button} …/>`}>…</${Dialog}>
//   if (await confirm({ title, text, action: "Purge", danger: true })) …

import { html, render, useEffect, useRef } from "../html.js";
import { Button, IconButton } from "./basics.js";

/**
 * `onSubmit`: called for Enter in a field; the last of `actions` should do the same. `onClose` null: it stays open.
 * `wide`: for editors.
 */
export function Dialog({ title, onClose, onSubmit, actions, children, wide = false }) {
  const element = useRef(null);
  useEffect(() => {
    const dialog = element.current;
    dialog.showModal();
    // The browser would choose the first control, which is the one that closes the dialog.
    if (!dialog.querySelector("[autofocus]")) {
      const fields = dialog.querySelector(".content :is(input, select, textarea):not(:disabled)");
      (fields ?? dialog.querySelector("footer button"))?.focus();
    }
    return () => dialog.close();
  }, []);
  const submit = (event) => {
    event.preventDefault();
    onSubmit?.();
  };
  return html`<dialog
    ref=${element}
    class=${wide ? "wide" : ""}
    aria-label=${title}
    onCancel=${(event) => {
      event.preventDefault();
      onClose?.();
    }}
    onClick=${(event) => event.target === event.currentTarget && onClose?.()}
  >
    <form method="dialog" onSubmit=${submit}>
      <header>
        <h2>${title}</h2>
        ${onClose && html`<${IconButton} icon="close" label="Close" onClick=${onClose} />`}
      </header>
      <div class="content">${children}</div>
      ${actions && html`<footer>${actions}</footer>`}
    </form>
  </dialog>`;
}

/** Ask the user; resolves to true or false. `action`: the text of the button. */
export function confirm({ title, text, action = "OK", danger = false }) {
  const place = document.body.appendChild(document.createElement("div"));
  return new Promise((resolve) => {
    const end = (answer) => {
      render(null, place);
      place.remove();
      resolve(answer);
    };
    render(
      html`<${Dialog}
        title=${title}
        onClose=${() => end(false)}
        onSubmit=${() => end(true)}
        actions=${html`<${Button} onClick=${() => end(false)}>Cancel</${Button}>
          <${Button} kind=${danger ? "danger" : "primary"} onClick=${() => end(true)}>${action}</${Button}>`}
      >
        <p>${text}</p>
      </${Dialog}>`,
      place,
    );
  });
}
