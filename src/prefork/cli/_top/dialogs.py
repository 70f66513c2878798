"""What lies over the page for a while: a text to be read, a number to be given."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class Reading(ModalScreen[None]):
    """A text, scrolled by the arrow keys."""

    BINDINGS: ClassVar = [Binding("escape,q,enter", "dismiss", "close", show=False)]

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._headline, self._text = title, text

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with VerticalScroll(classes="dialog reading") as scroll:
            scroll.border_title = self._headline
            scroll.border_subtitle = "esc closes"
            yield Static(self._text)


class Scaling(ModalScreen[str | None]):
    """How many workers a pool shall have; None when it was left."""

    BINDINGS: ClassVar = [Binding("escape", "dismiss(None)", "close", show=False)]

    def __init__(self, kind: str, size: int, least: int, most: int) -> None:
        super().__init__()
        self._kind, self._present, self._least, self._most = kind, size, least, most

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog scaling") as box:
            box.border_title = f"scale {self._kind}"
            box.border_subtitle = "enter scales, esc does not"
            yield Static(f"{self._present} now; {self._least} to {self._most}, or auto for the plan's own number")
            yield Input(placeholder="workers", id="size", select_on_focus=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Hand it over, when it is a size."""
        value = event.value.strip()
        if value == "auto" or (value.isdecimal() and self._least <= int(value) <= self._most):
            self.dismiss(value)
        else:
            self.query_one(Static).update(f"a number from {self._least} to {self._most}, or auto")
