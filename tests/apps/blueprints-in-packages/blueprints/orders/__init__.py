from .routes import bp as bp
