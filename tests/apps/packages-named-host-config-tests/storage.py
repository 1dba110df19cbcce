def save() -> str:
    return "saved"
