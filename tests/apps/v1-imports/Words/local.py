def four() -> str:
    return "four"
