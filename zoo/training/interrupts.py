"""Ctrl-C and SIGTERM during training: noted at once, acted upon between two steps, where the state is whole."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Self


class Interrupts:
    """Inside, the first SIGINT or SIGTERM only sets `pending`; a second one interrupts at once, without saving.

    Outside the main thread, where Python takes no signals, it does nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._before: dict[int, Any] = {}
        self.pending = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.pending:
            raise KeyboardInterrupt("interrupted twice: stopped without saving")
        self.pending = True

    def stop(self) -> None:
        """Raises KeyboardInterrupt with the way to resume; call it once the state is saved."""
        if self._directory is None:
            raise KeyboardInterrupt("training was interrupted; without a run directory nothing was saved")
        raise KeyboardInterrupt(f"training was interrupted and saved; go on with: zoo resume {self._directory}")
