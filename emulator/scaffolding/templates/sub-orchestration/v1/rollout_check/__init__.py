def main(device: str) -> str:
    return f"{device} works"
