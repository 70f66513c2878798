"""The examples that are templates: `python tests/templates.py` writes them again after a template has changed."""

from __future__ import annotations

from pathlib import Path

from prefork.cli._new.project import project
from prefork.cli._new.templates import TEMPLATES

EXAMPLES = Path(__file__).parent.parent / "examples"
FOLDERS = {
    "fastapi": "fastapi",
    "django": "django",
    "flask": "flask",
    "daemon": "talk",
    "consumer": "jobs",
    "grpc": "grpc",
}
"""Template -> the example that it writes: `prefork new talk --template daemon`."""


def example(template: str) -> dict[Path, str]:
    """Return the files of a template's example."""
    folder = FOLDERS[template]
    return {EXAMPLES / folder / path: text for path, text in project(folder, TEMPLATES[template]).items()}


if __name__ == "__main__":
    for name in FOLDERS:
        for path, text in example(name).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
