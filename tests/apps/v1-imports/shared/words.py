def one() -> str:
    return "one"


def two() -> str:
    return "two"


def three() -> str:
    return "three"
