// Router of the pages. The address is `#/instances/ID?tab=history`: deep links work without help of the server.

import { useEffect, useState } from "./html.js";

/** The current route: { path: ["instances", "ID"], query: { tab: "history" } }. */
function currentRoute() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return {
    path: path.split("/").filter(Boolean).map(decoded),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

/** The text without percent-encoding; as it is, if it is not encoded correctly. */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a page. `path`: segments, which may contain any character. */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return `#/${path.map(encoded).join("/")}${text ? `?${text}` : ""}`;
}

function encoded(text) {
  // encodeURIComponent fails for half of a surrogate pair, which texts of the app may contain.
  return encodeURIComponent(String(text).toWellFormed?.() ?? text);
}

export function navigate(path, query) {
  location.hash = address(path, query);
}

/** Change the query of the current address; empty values are removed. Without an entry in the history of the browser. */
export function setQuery(changes) {
  const { path, query } = currentRoute();
  history.replaceState(null, "", address(path, { ...query, ...changes }));
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute() {
  const [route, setRoute] = useState(currentRoute);
  useEffect(() => {
    const update = () => setRoute(currentRoute());
    window.addEventListener("hashchange", update);
    return () => window.removeEventListener("hashchange", update);
  }, []);
  return route;
}

/** The parameters if the segments match a pattern such as "instances/:id", else null. */
export function match(pattern, path) {
  const parts = pattern.split("/").filter(Boolean);
  if (parts.length !== path.length) return null;
  const parameters = {};
  for (const [index, part] of parts.entries()) {
    if (part.startsWith(":")) parameters[part.slice(1)] = path[index];
    else if (part !== path[index]) return null;
  }
  return parameters;
}
