"""Python's `logging`, written to the host's log. What is written stays, whatever becomes of the run."""

from __future__ import annotations

import logging

from ._host import host, running

_LEVELS = [(logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"), (logging.DEBUG, "DEBUG")]


class HostHandler(logging.Handler):
    """Writes records with the host's levels. What is logged at the top level of a module, where there is no host yet, is
    written by the first run."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for least, name in _LEVELS if record.levelno >= least), "TRACE")
        line = self.format(record)
        if record.name not in ("root", "relais_plugin"):
            line = f"{record.name}: {line}"
        if running():
            self._write(level, line)
        else:
            self._waiting.append((level, f"(when it was built) {line}"))

    def flush(self) -> None:
        if running():
            for level, line in self._waiting:
                self._write(level, line)
            self._waiting.clear()

    @staticmethod
    def _write(level: str, line: str) -> None:
        run = host("run")
        run.log(run.Level[level], line)


HANDLER = HostHandler()


def install() -> None:
    """Takes the place of the handler that would write to stderr. The host filters by level, so nothing is held back."""
    root = logging.getLogger()
    root.handlers[:] = [HANDLER]
    root.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
