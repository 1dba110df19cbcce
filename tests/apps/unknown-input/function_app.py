import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="read")
@app.generic_input_binding(arg_name="product", type="sql", CommandText="select 1", ConnectionStringSetting="Sql")
def read(req: func.HttpRequest, product: str):
    return product


@app.route(route="hello")
def hello(req: func.HttpRequest):
    return "hello"
