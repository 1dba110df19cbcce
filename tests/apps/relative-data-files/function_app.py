import json
from pathlib import Path

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
NAMES = json.loads((Path(__file__).parent / "data" / "names.json").read_text(encoding="utf-8"))


@app.route(route="names")
def names(req: func.HttpRequest, context: func.Context):
    folder = Path(context.function_directory)
    return ", ".join(NAMES) + f" {(folder / 'data' / 'names.json').is_file()}"
