import azure.functions as func
import azurefunctions.extensions.bindings.blob as blob

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="hello")
def hello(req: func.HttpRequest):
    return "hello"


@app.blob_trigger(arg_name="client", path="in/{name}", connection="AzureWebJobsStorage")
def arrived(client: blob.BlobClient):
    print("arrived", client.get_blob_properties().name)
