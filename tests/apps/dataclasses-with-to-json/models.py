from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass
class Order:
    item: str
    count: int
    price: float = 0.0

    @staticmethod
    def to_json(order: Order) -> str:
        return json.dumps(asdict(order))

    @staticmethod
    def from_json(text: str) -> Order:
        return Order(**json.loads(text))
