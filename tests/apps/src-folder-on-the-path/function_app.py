import os
import sys

import azure.functions as func

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "src"))

from shop.prices import price  # noqa: E402

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="price/{item}")
def quote(req: func.HttpRequest):
    from shop.rounding import rounded

    return f"EUR {rounded(price(req.route_params['item']))}"
