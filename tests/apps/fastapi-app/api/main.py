from contextlib import asynccontextmanager

from fastapi import FastAPI

from api.items import router


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.ready = True
    yield


api = FastAPI(lifespan=lifespan)
api.include_router(router, prefix="/items")


@api.get("/ready")
async def ready() -> bool:
    return api.state.ready
