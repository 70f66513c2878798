"""A Flask application by its factory. Nothing in it knows of prefork."""

import os
import time

from flask import Flask, request


def create_app() -> Flask:
    """Make the application; `prefork run app` finds it by this name."""
    app = Flask(__name__)

    @app.get("/")
    def root() -> dict[str, str]:
        return {"hello": request.args.get("name", "world"), "from": f"worker {os.getpid()}"}

    @app.get("/slow")
    def slow() -> dict[str, float]:
        seconds = float(request.args.get("seconds", 1))
        time.sleep(seconds)
        return {"slept": seconds}

    return app
