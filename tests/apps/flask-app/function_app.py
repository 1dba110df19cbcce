import azure.functions as func
from flask import Flask, request

site = Flask(__name__)


@site.route("/echo", methods=["POST"])
def echo():
    return {"got": request.get_json()}


app = func.WsgiFunctionApp(app=site.wsgi_app, http_auth_level=func.AuthLevel.ANONYMOUS)
