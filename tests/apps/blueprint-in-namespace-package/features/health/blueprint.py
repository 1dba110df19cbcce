import azure.functions as func

bp = func.Blueprint()


@bp.route(route="health")
def health(req: func.HttpRequest):
    return "ok"
