import azure.functions as func

from ..text import shout

bp = func.Blueprint()


@bp.route(route="orders/{id:int}")
def order(req: func.HttpRequest):
    return shout(f"order {req.route_params['id']}")
