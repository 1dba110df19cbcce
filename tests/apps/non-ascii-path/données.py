def salutation(nom: str) -> str:
    return f"Bonjour {nom}"
