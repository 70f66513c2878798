"""Write the list of metrics into docs/metrics.md, made of the families in `prefork._agent.families`.

    python docs/make_metrics.py

tests/test_metrics_document.py holds that it is current.
"""

from __future__ import annotations

import re
from pathlib import Path

from prefork._agent.families.listed import SUBJECTS

PAGE = Path(__file__).parent / "metrics.md"
BEGIN, END = "<!-- list: made by docs/make_metrics.py -->", "<!-- end of the list -->"


def listed() -> str:
    """Return the list as tables, one a subject."""
    lines = []
    for subject, families in SUBJECTS:
        lines += ["", f"### {subject}", "", "| metric | type | labels | meaning | what to look at it for |"]
        lines.append("|---|---|---|---|---|")
        for family in families:
            labels = ", ".join(f"`{label}`" for label in family.labels)
            kind = f"{family.kind}, {family.unit}" if family.unit else family.kind
            lines.append(f"| `{family.shown}` | {kind} | {labels} | {family.help} | {family.look} |")
    return "\n".join([*lines, ""])


def with_list(text: str) -> str:
    """Return the page with the list of today between its two marks."""
    pattern = f"{re.escape(BEGIN)}.*?{re.escape(END)}"
    new, count = re.subn(pattern, lambda _: f"{BEGIN}\n{listed()}\n{END}", text, flags=re.DOTALL)
    assert count == 1, "docs/metrics.md has lost its marks"
    return new


if __name__ == "__main__":
    PAGE.write_text(with_list(PAGE.read_text()))
