from fastapi import APIRouter

router = APIRouter()


@router.get("/{number}")
def item(number: int) -> dict[str, int]:
    return {"number": number}
