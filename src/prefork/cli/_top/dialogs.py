"""The dialogs: a text to read, a number to enter."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from ..._report.units import counted


class TextDialog(ModalScreen[None]):
    """A text; the arrow keys scroll it."""

    BINDINGS: ClassVar = [Binding("escape,q,enter", "dismiss", "close", show=False)]

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._headline, self._text = title, text

    def compose(self) -> ComposeResult:
        """Create the widgets."""
        with VerticalScroll(classes="dialog reading") as scroll:
            scroll.border_title = self._headline
            scroll.border_subtitle = "esc: close"
            yield Static(self._text)


class ScaleDialog(ModalScreen[str | None]):
    """Asks for the number of workers of a pool; returns None if the user cancels."""

    BINDINGS: ClassVar = [Binding("escape", "dismiss(None)", "close", show=False)]

    def __init__(self, kind: str, size: int, least: int, most: int) -> None:
        super().__init__()
        self._kind, self._present, self._least, self._most = kind, size, least, most

    @property
    def _choice(self) -> str:
        return f"{self._least} to {self._most}, or auto (as planned)"

    def compose(self) -> ComposeResult:
        """Create the widgets."""
        with Vertical(classes="dialog scaling") as box:
            box.border_title = f"scale {self._kind}"
            box.border_subtitle = "enter: scale, esc: cancel"
            yield Static(f"{counted(self._present, 'worker')} now; enter {self._choice}")
            yield Input(placeholder="workers", id="size", select_on_focus=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return the size if it is valid."""
        value = event.value.strip()
        if value == "auto" or (value.isdecimal() and self._least <= int(value) <= self._most):
            self.dismiss(value)
        else:
            self.query_one(Static).update(f"not valid: enter {self._choice}")
