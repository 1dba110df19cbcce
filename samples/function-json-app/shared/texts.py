"""What is said about a document."""


def summary(text: str) -> str:
    """Return the number of words and the first line."""
    first = text.strip().splitlines()[0] if text.strip() else ""
    return f"{len(text.split())} words: {first}"
