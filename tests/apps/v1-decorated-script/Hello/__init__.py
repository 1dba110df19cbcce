import azure.functions as func

app = func.FunctionApp()


@app.function_name("Hello")
@app.route("hello")
def main(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hello")
