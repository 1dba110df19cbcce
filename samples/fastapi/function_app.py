"""Unmodified FastAPI app behind one HTTP function."""

from __future__ import annotations

import azure.functions as func
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

api = FastAPI(title="Notes")


class Note(BaseModel):
    text: str = Field(min_length=1, max_length=200)
    pinned: bool = False


notes: dict[int, Note] = {}


@api.post("/notes", status_code=201)
async def add_note(note: Note) -> dict[str, int]:
    number = len(notes) + 1
    notes[number] = note
    return {"id": number}


@api.get("/notes/{number}")
async def read_note(number: int) -> Note:
    if number not in notes:
        raise HTTPException(404, "There is no such note.")
    return notes[number]


app = func.AsgiFunctionApp(app=api, http_auth_level=func.AuthLevel.ANONYMOUS)
