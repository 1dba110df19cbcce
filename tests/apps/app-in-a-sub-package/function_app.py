from backend.main import app as app
