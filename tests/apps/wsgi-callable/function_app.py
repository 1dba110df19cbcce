import azure.functions as func


def site(environ, start_response):
    body = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}".encode()
    start_response("201 Created", [("Content-Type", "text/plain"), ("X-Kind", "wsgi")])
    return [body]


app = func.WsgiFunctionApp(app=site, http_auth_level=func.AuthLevel.ANONYMOUS)
