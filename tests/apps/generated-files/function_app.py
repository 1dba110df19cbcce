import importlib
from pathlib import Path

import azure.functions as func

HERE = Path(__file__).parent
(HERE / "generated_version.py").write_text("VERSION = 3\n", encoding="utf-8")
importlib.invalidate_caches()

import generated_version  # noqa: E402

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="version")
def version(req: func.HttpRequest):
    with (HERE / "requests.log").open("a", encoding="utf-8") as log:
        log.write("one\n")
    return str(generated_version.VERSION)
