"""Fake Azurite that the tests run as a process, with the options, output and response headers of the real one.

GET /crash ends it with exit code 3, --refuse at its start, --short-lived after three responses.
--killed-once FILE kills it at its start unless the file exists.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

answered = itertools.count(1)


def serve(service: str, port: int, *, ends_after: int | None) -> None:
    class Handler(BaseHTTPRequestHandler):
        server_version = f"Azurite-{service}/0.0.0"
        sys_version = ""

        def do_GET(self) -> None:
            if self.path == "/crash":
                print("a last word", flush=True)
                os._exit(3)
            self.send_response(403)
            self.end_headers()
            self.wfile.flush()
            if next(answered) == ends_after:
                os._exit(4)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"Azurite {service} service is successfully listening at http://127.0.0.1:{server.server_port}", flush=True)


def main() -> None:
    words = sys.argv[1:]
    if "--refuse" in words:
        print("I cannot", flush=True)
        sys.exit(5)
    if "--killed-once" in words:
        mark = Path(words[words.index("--killed-once") + 1])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGTERM)
    for service in ("Blob", "Queue", "Table"):
        port = int(words[words.index(f"--{service.lower()}Port") + 1])
        serve(service, port, ends_after=3 if "--short-lived" in words else None)
    sys.stdin.read()


main()
