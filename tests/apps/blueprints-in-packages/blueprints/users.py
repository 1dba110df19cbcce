import azure.functions as func

from .text import shout

bp = func.Blueprint()


@bp.route(route="users")
async def users(req: func.HttpRequest):
    return shout("users")
