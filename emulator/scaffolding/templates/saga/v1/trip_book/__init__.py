def main(part: str) -> str:
    """Book a part. Activities may run twice, so a real one would send an id that makes the booking unique."""
    if part == "moon":
        raise ValueError("Nobody flies there.")
    return f"{part} booked"
