"""A hook of mkdocs: pages of the site that lie outside docs/, and the links between both.

The pages are written to be read in the repository, where links lead to files. In the site, a link to a page leads to
that page; one to another file of the repository (a program, a folder, a test) is shown as the file's name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
    "bench/RESULTS.md",
    "examples/README.md",
)
BADGES = re.compile(r"^!\[.*\]\(https://img\.shields\.io/.*\n", re.MULTILINE)
"""Pictures of another host: the site asks none for anything."""
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def outside() -> dict[str, str]:
    """Return the pages outside docs/ as places in the site, by their paths in the repository."""
    paths = [*OUTSIDE, *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("examples/*/README.md")))]
    return {"README.md": "index.md", **{path: path for path in paths}}


def on_files(files: Files, config: Any) -> Files:
    """Add them."""
    for path, place in outside().items():
        files.append(File.generated(config, place, content=(ROOT / path).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files of the repository into links to pages, or into names."""
    places = {place: path for path, place in outside().items()}
    source = places.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    markdown = BADGES.sub("", markdown)
    return LINK.sub(lambda match: _link(match, source, page.file.src_uri), markdown)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Have pages take what search needs without a web server from the site itself; name it for screen readers."""
    here = os.path.relpath("site_assets/worker.js", os.path.dirname(page.file.src_uri) or ".")
    return _with_named_search(output).replace("https://unpkg.com/iframe-worker/shim", here)


def on_post_template(output_content: str, template_name: str, config: Any) -> str:
    """The same for the page of a web server about what it has not."""
    without = output_content.replace('<script src="https://unpkg.com/iframe-worker/shim"></script>', "")
    return _with_named_search(without)


def _with_named_search(output: str) -> str:
    return output.replace('<div class="md-search" ', '<div class="md-search" aria-label="Search" ')


def _link(match: re.Match[str], source: str, here: str) -> str:
    mark, text, link = match.groups()
    path, _, anchor = link.partition("#")
    if ":" in link or not path:
        return match[0]
    target = os.path.normpath(os.path.join(os.path.dirname(source), path))
    if (ROOT / target).is_dir() and (ROOT / target / "README.md").exists():
        target += "/README.md"
    known = outside()
    place = known.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
    if place is None or (ROOT / target).is_dir() or target.endswith(".py"):
        return text if text.startswith("`") else f"{text} (`{target}`)"
    there = os.path.relpath(place, os.path.dirname(here) or ".")
    return f"{mark}[{text}]({there}{'#' * bool(anchor)}{anchor})"
