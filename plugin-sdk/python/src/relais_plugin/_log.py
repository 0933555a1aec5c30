"""Python's `logging`, written to the host's log. What is written stays, whatever becomes of the run."""

from __future__ import annotations

import logging

from ._host import host, running

_LEVELS = [(logging.ERROR, "ERROR"), (logging.WARNING, "WARN"), (logging.INFO, "INFO"), (logging.DEBUG, "DEBUG")]


# What every record has; all else was given as `extra`.
_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class HostHandler(logging.Handler):
    """Writes records with the host's levels, and what was given as `extra` as fields. What is logged at the top level of a
    module, where there is no host yet, is written by the first run."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[str, str, list[tuple[str, str]]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for least, name in _LEVELS if record.levelno >= least), "TRACE")
        try:
            line = record.getMessage()
            fields = _fields(record)
        except Exception as error:
            # A wrong format is a mistake in a line of the log, and not one in the run.
            line, fields = f"a line of the log could not be written: {error!r}: {record.msg!r:.200}", []
        if running():
            self._write(level, line, fields)
        else:
            self._waiting.append((level, f"(when it was built) {line}", fields))

    def flush(self) -> None:
        if running():
            for level, line, fields in self._waiting:
                self._write(level, line, fields)
            self._waiting.clear()

    @staticmethod
    def _write(level: str, line: str, fields: list[tuple[str, str]]) -> None:
        run = host("run")
        run.log(run.Level[level], line, fields)


def _fields(record: logging.LogRecord) -> list[tuple[str, str]]:
    fields = [(name, str(value)) for name, value in vars(record).items() if name not in _OF_EVERY_RECORD]
    if record.name not in ("root", "relais_plugin"):
        fields.append(("logger", record.name))
    if record.exc_info:
        fields.append(("exception", logging.Formatter().formatException(record.exc_info)))
    return fields


HANDLER = HostHandler()


def install() -> None:
    """Takes the place of the handler that would write to stderr. The host filters by level, so nothing is held back."""
    root = logging.getLogger()
    root.handlers[:] = [HANDLER]
    root.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
