"""The start page at `/`. Source for when it is shown: host, Middleware/HomepageMiddleware.cs."""

from __future__ import annotations

from aiohttp import web

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Your function app is up and running</title>
<style>
  :root { color-scheme: light dark; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 16px/1.6 system-ui, sans-serif; }
  main { max-width: 40rem; padding: 2rem; }
  h1 { font-size: 1.8rem; line-height: 1.25; margin: 0 0 1rem; }
  code { font: 0.95em ui-monospace, monospace; padding: 0.1em 0.35em; border-radius: 0.3em; background: #8882; }
  li { margin: 0.4rem 0; }
</style>
</head>
<body>
<main>
<h1>Your function app is up and running</h1>
<p>It is served by azemu on this machine. The console that started it lists the functions and their addresses.</p>
<ul>
<li><a href="/admin/host/status"><code>/admin/host/status</code></a> tells how the host is.</li>
<li><a href="/admin/functions"><code>/admin/functions</code></a> lists the functions with their bindings.</li>
<li>Set <code>AzureWebJobsDisableHomepage</code> to <code>true</code> to turn this page off.</li>
</ul>
</main>
</body>
</html>
"""


def homepage() -> web.Response:
    return web.Response(text=_PAGE, content_type="text/html", charset="utf-8")
