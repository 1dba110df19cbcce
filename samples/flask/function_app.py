"""Unmodified Flask app behind one HTTP function."""

from __future__ import annotations

import azure.functions as func
from flask import Flask, Response, abort, request

site = Flask(__name__)
notes: dict[int, str] = {}


@site.post("/notes")
def add_note() -> tuple[dict[str, int], int]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict) or not body.get("text"):
        abort(400, "Send a text.")
    number = len(notes) + 1
    notes[number] = str(body["text"])
    return {"id": number}, 201


@site.get("/notes/<int:number>")
def read_note(number: int) -> dict[str, str]:
    if number not in notes:
        abort(404, "There is no such note.")
    return {"text": notes[number]}


@site.get("/notes.txt")
def all_notes() -> Response:
    return Response("\n".join(notes.values()), mimetype="text/plain")


app = func.WsgiFunctionApp(app=site.wsgi_app, http_auth_level=func.AuthLevel.ANONYMOUS)
