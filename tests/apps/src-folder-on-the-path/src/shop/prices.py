def price(item: str) -> float:
    return len(item) * 1.26
