import azure.functions as func


def hello(req: func.HttpRequest) -> str:
    return "hello"


def bye(req: func.HttpRequest) -> str:
    return "bye"
