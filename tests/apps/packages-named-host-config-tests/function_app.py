import azure.functions as func

from config import NAME
from host.words import greeting
from storage import save
from testing import VALUE
from worker import job

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="hello")
def hello(req: func.HttpRequest):
    from tests.data import EXAMPLE

    return " ".join((greeting(NAME), save(), job(), VALUE, EXAMPLE))
