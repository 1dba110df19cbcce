import io
import sys
from contextlib import redirect_stdout

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="write")
def write(req: func.HttpRequest):
    sys.stdout.write("written\n")
    sys.stdout.writelines(["several\n", "lines\n"])
    print("to stderr", file=sys.stderr)
    sys.stdout.flush()
    caught = io.StringIO()
    with redirect_stdout(caught):
        print("caught", end="")
    return f"{caught.getvalue()} {sys.stdout.encoding is not None} {sys.stdout.writable()}"
