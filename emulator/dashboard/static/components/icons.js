// Icons: 16 x 16, drawn with the colour of the text. They are decoration; the text beside them says the same.

import { html } from "../html.js";

const PATHS = {
  home: "M2.5 7.5 8 3l5.5 4.5V13a.5.5 0 0 1-.5.5H9.8V10H6.2v3.5H3a.5.5 0 0 1-.5-.5z",
  functions: "M9 2 4 9h3.5L7 14l5-7H8.5z",
  instances: "M2.5 4h6M5 8h6M7.500 12h6",
  entities: "M8 2.500 13 5v6l-5 2.500L3 11V5zM3 5l5 2.500L13 5M8 7.500v6",
  storage: "M3 4c0-1 2.200-1.500 5-1.500S13 3 13 4v8c0 1-2.200 1.500-5 1.500S3 13 3 12zM3 4c0 1 2.200 1.500 5 1.500S13 5 13 4M3 8c0 1 2.200 1.500 5 1.500S13 9 13 8",
  settings: "M3 4.500h6M12 4.500h1M3 11.500h1M7 11.500h6M10.500 3v3M5.500 10v3",
  logs: "M3 3.500h10M3 6.500h7M3 9.500h10M3 12.500h5",
  search: "M7 11.500a4.500 4.500 0 1 0 0-9 4.500 4.500 0 0 0 0 9zM10.500 10.500 14 14",
  copy: "M5.500 5.500h7v8h-7zM3.500 10.500v-8h7",
  check: "M3.500 8.500 6.500 11.500 12.500 5",
  close: "M4 4l8 8M12 4l-8 8",
  refresh: "M13 8a5 5 0 1 1-1.500-3.500M13 2.500V5h-2.500",
  pause: "M6 3.500v9M10 3.500v9",
  play: "M5 3.500v9l7-4.500z",
  down: "M4 6.500 8 10.500 12 6.500",
  right: "M6.500 4 10.500 8 6.500 12",
  sun: "M8 10.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM8 1.500v1.500M8 13v1.500M1.500 8H3M13 8h1.500M3.500 3.500l1 1M11.500 11.500l1 1M3.500 12.500l1-1M11.500 4.500l1-1",
  moon: "M13 9.500A5.500 5.500 0 1 1 6.500 3 4.500 4.500 0 0 0 13 9.500z",
  help: "M6 6a2 2 0 1 1 2.800 1.800c-.600.300-.8.700-.8 1.400M8 11.800v.2",
  warning: "M8 3 14 13H2zM8 7v3M8 11.500v.1",
  trash: "M3.500 4.500h9M6.500 4.500V3h3v1.500M4.500 4.500l.5 9h6l.5-9",
  download: "M8 2.500v7M5 7l3 3 3-3M3 13h10",
  queue: "M2.500 4.500h11v7h-11zM2.500 5l5.500 4 5.500-4",
  table: "M2.500 3.500h11v9h-11zM2.500 6.500h11M6.500 6.500v6",
  blob: "M4 2.500h5l3 3v8H4zM9 2.500v3h3",
};

/** An icon by its name in PATHS. */
export const Icon = ({ name }) =>
  html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>`;
