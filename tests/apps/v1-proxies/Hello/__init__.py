import azure.functions as func


async def main(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return func.HttpResponse(f"{context.function_name} {context.function_directory.endswith('Hello')}")
