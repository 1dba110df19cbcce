// A table with sortable columns, rows that can be opened, and selection.
//
//   <${Table} columns=${[{ key: "name", title: "Name", render: (row) => …, sort: (row) => row.name, align: "right",
//                          width: "12rem" }]} rows=${rows} rowKey=${(row) => row.id} onRow=${open} />

import { html, useMemo, useState } from "../html.js";

/**
 * `columns`: `render` default: the member `key`; `label`: spoken instead of an empty `title`; `sort`: returns what to sort by, absent: not sortable.
 * `sorted`: { key, descending } the initial order; null: that of `rows`. `onRow(row)`: a click or Enter opens a row.
 * `ordered`: { key, descending }, with `onOrder(key)`: the page sorts the rows, by any of the columns.
 * `selected`: a Set of keys, `onSelect(set)`: shows a column of check boxes. `empty`: shown instead of no rows.
 * `expanded(row)`: returns a second row with details, or null. `blocks`: on narrow screens a row becomes a block.
 */
export function Table({
  columns,
  rows,
  rowKey,
  onRow,
  sorted = null,
  selected,
  onSelect,
  empty,
  expanded,
  label,
  ordered,
  onOrder,
  blocks = columns.length > 3,
}) {
  const [ownOrder, setOrder] = useState(sorted);
  const order = onOrder ? ordered : ownOrder;
  const shown = useMemo(() => {
    if (onOrder) return rows;
    const column = order && columns.find(({ key }) => key === order.key);
    if (!column || !column.sort) return rows;
    const factor = order.descending ? -1 : 1;
    return [...rows].sort((a, b) => factor * compare(column.sort(a), column.sort(b)));
  }, [rows, order, columns]);

  if (!rows.length && empty) return empty;
  const toggleOrder = (key) =>
    onOrder ? onOrder(key) : setOrder((old) => ({ key, descending: old && old.key === key ? !old.descending : false }));
  const all = selected && rows.length > 0 && rows.every((row) => selected.has(rowKey(row)));
  const select = (keys, on) => {
    const next = new Set(selected);
    keys.forEach((key) => (on ? next.add(key) : next.delete(key)));
    onSelect(next);
  };
  const open = (event, row) => {
    // A click on a control in the row, or the end of a selection of text, is not meant to open it.
    if (event.target.closest("a, button, input, label, select") || String(window.getSelection())) return;
    onRow(row);
  };
  return html`<div class="table-frame" tabindex="-1">
    <table class=${blocks ? "table blocks" : "table"} aria-label=${label}>
      <thead>
        <tr>
          ${selected &&
          html`<th class="select">
            <input
              type="checkbox"
              aria-label="Select all rows"
              checked=${all}
              onChange=${(event) => select(rows.map(rowKey), event.currentTarget.checked)}
            />
          </th>`}
          ${columns.map(
            ({ key, title, label: spoken, sort, align, width }) =>
              html`<th
                key=${key}
                class=${align ?? ""}
                style=${width ? { width } : {}}
                aria-sort=${order && order.key === key ? (order.descending ? "descending" : "ascending") : undefined}
              >
                ${sort || onOrder
                  ? html`<button type="button" class="sort" onClick=${() => toggleOrder(key)}>
                      ${title}<span aria-hidden="true">${order && order.key === key ? (order.descending ? " ↓" : " ↑") : ""}</span>
                    </button>`
                  : title || html`<span class="visually-hidden">${spoken}</span>`}
              </th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${shown.map((row) => {
          const key = rowKey(row);
          const more = expanded && expanded(row);
          return html`<tr
              key=${key}
              class=${`${onRow ? "clickable" : ""} ${more ? "open" : ""}`}
              tabindex=${onRow ? 0 : undefined}
              onClick=${onRow && ((event) => open(event, row))}
              onKeyDown=${onRow && ((event) => event.key === "Enter" && event.target === event.currentTarget && onRow(row))}
            >
              ${selected &&
              html`<td class="select">
                <input
                  type="checkbox"
                  aria-label=${`Select ${key}`}
                  checked=${selected.has(key)}
                  onChange=${(event) => select([key], event.currentTarget.checked)}
                />
              </td>`}
              ${columns.map(
                ({ key: name, title, render, align }) => html`<td key=${name} class=${align ?? ""} data-title=${title || undefined}>${render ? render(row) : row[name]}</td>`,
              )}
            </tr>
            ${more &&
            html`<tr key=${`${key} details`} class="details">
              <td colspan=${columns.length + (selected ? 1 : 0)}>${more}</td>
            </tr>`}`;
        })}
      </tbody>
    </table>
  </div>`;
}

function compare(a, b) {
  if (a === b) return 0;
  // Missing values are at the end of ascending orders.
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}
