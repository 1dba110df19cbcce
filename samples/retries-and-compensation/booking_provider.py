"""Fake booking provider for trying the sample: `python booking_provider.py [PORT]`. Not part of the app.

POST /flights, /hotels or /cars books and returns a reference. DELETE /flights/flight-1 cancels. There are no cars in
Atlantis.
"""

from __future__ import annotations

import itertools
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

numbers = itertools.count(1)


class Provider(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        what = self.path.strip("/").removesuffix("s")
        if what == "car" and wanted["city"] == "Atlantis":
            self.answer(409, {"error": "no cars in Atlantis"})
        else:
            self.answer(200, {"reference": f"{what}-{next(numbers)}"})

    def do_DELETE(self) -> None:
        self.answer(200, {})

    def answer(self, status: int, body: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 8080), Provider)
    sys.stdout.write(f"The provider listens at http://127.0.0.1:{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
