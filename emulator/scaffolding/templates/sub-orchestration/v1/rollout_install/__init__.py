def main(device: str) -> str:
    return f"installed on {device}"
