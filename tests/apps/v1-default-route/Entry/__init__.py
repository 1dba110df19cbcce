import azure.functions as func


def handle(req: func.HttpRequest) -> str:
    return "another entry point"
