import azure.functions as func

from __app__.shared.words import one
from shared.words import three

from ..shared.words import two
from .local import four


def main(req: func.HttpRequest) -> str:
    return " ".join((one(), two(), three(), four()))
