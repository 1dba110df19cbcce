"use strict";
// Preloaded into Azurite with node --require. Its standard input is a pipe that azemu holds open. The pipe closes when
// azemu ends in any way, and then Azurite must end, too. It is shut down with its own SIGTERM handler, because it
// writes the last changes to disk only there; on Windows no process can send a signal that would call the handler.
if (require("node:worker_threads").isMainThread) {
  // azemu may have ended already, so that writing to its pipes fails. Without these listeners Azurite would crash at its
  // first log line and not save everything.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const stop = () => {
    if (!process.emit("SIGTERM")) process.exit(0);
    setTimeout(() => process.exit(0), 8000).unref();
  };
  process.stdin.once("end", stop).once("error", stop).resume();
  if (process.stdin.unref) process.stdin.unref();
}
