def job() -> str:
    return "done"
