def main(row: int) -> str:
    return f"row {row}"
