// Actions as texts to copy: curl, the command line of azemu, and a test with emulator.testing.

import { eventBody, segment } from "./management.js";
import { encodedBody } from "./payloads.js";

/** The text as one word of a shell. */
export const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The JSON text as a Python literal. */
function python(json) {
  const literal = (value) => {
    if (value === null) return "None";
    if (value === true) return "True";
    if (value === false) return "False";
    if (typeof value === "string") return JSON.stringify(value);
    if (typeof value !== "object") return String(value);
    if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
    const items = Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item)}`);
    return `{${items.join(", ")}}`;
  };
  try {
    return literal(JSON.parse(json));
  } catch {
    return JSON.stringify(json);
  }
}

/** A command for a request. `path`: behind the address of the host. `headers`: lines such as "Accept: text/plain". */
export function curl(method, path, headers, body) {
  const parts = [`curl -X ${method} ${shell(`${location.origin}/${path}`)}`, ...headers.map((line) => `-H ${shell(line)}`)];
  // Not -d, which takes a text that begins with @ for the name of a file.
  if (body) parts.push(`--data-raw ${shell(body)}`);
  return parts.join(" \\\n  ");
}

const durableCurl = (method, path, body) =>
  curl(method, `runtime/webhooks/durabletask/${path}`, body ? ["Content-Type: application/json"] : [], body);

const TEST = (body) => `from emulator.testing import AppUnderTest


async def test_run(azemu: AppUnderTest) -> None:
${body
  .split("\n")
  .map((line) => `    ${line}`)
  .join("\n")}
`;

/** Texts for a start: { curl, cli, pytest }. `expected`: JSON text of the output of an earlier run, or null. */
export function startCommands(name, json, id, expected = null) {
  const data = json.trim() ? ` ${shell(json.trim())}` : "";
  const check = expected === null ? 'assert status.runtime_status.name == "Completed"' : `assert status.output == ${python(expected)}`;
  const named = id ? `, ${JSON.stringify(id)}` : "";
  const input = json.trim() ? `, client_input=${python(json)}` : "";
  return {
    curl: durableCurl("POST", `orchestrators/${segment(name)}${id ? `/${segment(id)}` : ""}`, encodedBody(json)),
    cli: `azemu durable start ${shell(name)}${data}${id ? ` --id ${shell(id)}` : ""}`,
    pytest: TEST(
      `instance_id = await azemu.client.start_new(${JSON.stringify(name)}${named}${input})
status = await azemu.wait(instance_id)
${check}`,
    ),
  };
}

export function raiseCommands(id, name, json, asText) {
  const text = asText && json.trim() ? JSON.stringify(json.trim()) : json.trim();
  const data = text ? ` ${shell(text)}` : "";
  const value = json.trim() ? `, ${python(json)}` : "";
  return {
    curl: durableCurl("POST", `instances/${segment(id)}/raiseEvent/${segment(name)}`, eventBody(json, asText)),
    cli: `azemu durable raise ${shell(id)} ${shell(name)}${data}`,
    pytest: `await azemu.client.raise_event(${JSON.stringify(id)}, ${JSON.stringify(name)}${value})`,
  };
}

export function signalCommands(entity, key, operation, json) {
  const data = json.trim() ? ` ${shell(json.trim())}` : "";
  const value = json.trim() ? `, ${python(json)}` : "";
  return {
    curl: durableCurl("POST", `entities/${segment(entity)}/${segment(key)}?op=${encodeURIComponent(operation)}`, encodedBody(json)),
    cli: `azemu durable signal ${shell(`${entity}@${key}`)} ${shell(operation)}${data}`,
    pytest: `await azemu.client.signal_entity(df.EntityId(${JSON.stringify(entity)}, ${JSON.stringify(key)}), ${JSON.stringify(operation)}${value})`,
  };
}

export function statusCommands(id) {
  return {
    curl: durableCurl("GET", `instances/${segment(id)}?showHistory=true&showHistoryOutput=true`),
    cli: `azemu durable show ${shell(id)} --history`,
    pytest: `status = await azemu.client.get_status(${JSON.stringify(id)}, show_history=True)`,
  };
}

/** `body`: members of the request that forks. */
export function forkCommand(id, { at, id: newId, eventInput, rerun, withEvents }) {
  const value = eventInput === undefined ? "" : ` --event-input ${shell(JSON.stringify(eventInput))}`;
  const flags = `${rerun ? " --rerun" : ""}${withEvents ? " --with-events" : ""}`;
  return `azemu history fork ${shell(id)} --at ${at}${value}${newId ? ` --id ${shell(newId)}` : ""}${flags}`;
}

export function historyCommands(id) {
  return [`azemu history export ${shell(id)} -o FILE`, `azemu history replay ${shell(id)}`, `azemu history pytest ${shell(id)}`].join("\n");
}
