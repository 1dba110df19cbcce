"""An app in several modules: each blueprint has the functions of one subject.

Pictures are uploaded over HTTP, described by a queue function, and counted every night.
"""

from __future__ import annotations

import azure.functions as func
from gallery.describing import describing
from gallery.nightly import nightly
from gallery.web import web

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for blueprint in (web, describing, nightly):
    app.register_functions(blueprint)
