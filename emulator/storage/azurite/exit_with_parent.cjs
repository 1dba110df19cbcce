"use strict";
// Preloaded into Azurite (node --require). Its standard input is a pipe that azemu holds open: when the pipe closes,
// azemu has ended, in whatever way, and Azurite must not stay behind. It is asked politely, because it writes the last
// changes to disk only when it shuts down; a signal cannot be sent politely on Windows.
if (require("node:worker_threads").isMainThread) {
  // Nobody may be left to read what it says at its end, and it must not stumble over that before everything is saved.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  const stop = () => {
    if (!process.emit("SIGTERM")) process.exit(0);
    setTimeout(() => process.exit(0), 8000).unref();
  };
  process.stdin.once("end", stop).once("error", stop).resume();
  if (process.stdin.unref) process.stdin.unref();
}
