COUNT = 2


class Device:
    def __init__(self, name: str) -> None:
        self.name = name
