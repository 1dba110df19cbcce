"""Command `azemu open`: open the dashboard of the running host in the browser."""

from __future__ import annotations

import sys
import webbrowser
from urllib.parse import quote

from emulator import exit_codes
from emulator.cli.finding_hosts import find_host
from emulator.cli.host_client import InvocationFailed
from emulator.cli.open_arguments import Open
from emulator.cli.printing import print_json


def run_open(command: Open) -> int:
    """Run the command and return its exit code. Raises HostNotRunning, InvocationFailed."""
    host = find_host(command.app, port=command.port, key=command.key, needs_app=False)
    path = host.dashboard_path("open")
    # Without a record, as for a host of another folder, the path may be wrong.
    if host.send("GET", path).status >= 400:
        raise InvocationFailed(
            f"The host at port {host.port} has no dashboard at {path}. If it was started with --dashboard-path, use "
            "the command in the folder of the app."
        )
    # Browsers do not send the fragment of a URL to the server, so the key is in no log. The page reads it.
    code = f"#code={quote(host.used_key, safe='=')}" if host.used_key else ""
    url = f"{host.origin}{path}{code}"
    if command.json:
        print_json({"url": url})
    else:
        sys.stdout.write(f"{url}\n")
    # The URL is printed first: a browser without a window uses the terminal.
    sys.stdout.flush()
    if command.browser and not webbrowser.open(url):
        sys.stderr.write("No browser could be started. Open the URL yourself.\n")
    return exit_codes.OK
