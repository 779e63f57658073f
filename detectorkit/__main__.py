"""Run the command line, as ``python -m detectorkit`` or ``detectorkit``, to an orderly end.

Little is imported here, so that a signal finds the command ready for it soon after its start.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, Final, NoReturn

try:
    import signal
    import threading
except KeyboardInterrupt:  # as early as that
    os._exit(130)

__all__ = ["main"]

_PATIENCE: Final = 10.0  # seconds that a stopped command has to tidy up
_received: list[int] = []  # the signal that stops the command, when it has come


def main() -> NoReturn:
    """Run the command line and end the process: with 130 after Ctrl-C, and with 143 after SIGTERM.

    After an error or a signal, threads may still be in C code. The interpreter must not be torn
    down under them, or the process aborts; so it ends at once, when everything is written.
    """
    try:
        _open_streams()
        _catch_signals()
        from detectorkit.cli import main as run

        status = run()
    except SystemExit as ending:  # of argparse
        status = int(ending.code or 0)
    except BaseException as error:  # noqa: BLE001 - a signal may end as any of them
        status = 1
        if not _received:
            sys.excepthook(type(error), error, error.__traceback__)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it has ended
    if _received:
        _end(_received[0])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if status:
        os._exit(status)
    sys.exit(0)


def _open_streams() -> None:
    """Open the standard streams that are closed, as by ``2>&-`` and by ``pythonw``.

    Otherwise the next file that is opened would take their number, and what C code writes to
    standard error.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
        elif mode == "w" and hasattr(getattr(sys, name), "reconfigure"):
            # Names of files need not be text in the encoding of the terminal.
            getattr(sys, name).reconfigure(errors="backslashreplace")


def _catch_signals() -> None:
    """Turn SIGINT and SIGTERM into one KeyboardInterrupt."""

    def stop(number: int, _: Any) -> None:
        if not _received:
            _received.append(number)
            raise KeyboardInterrupt

    def note(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):  # lost: `_watch` ends us
            sys.__unraisablehook__(unraisable)

    sys.unraisablehook = note
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    for number, handler in usual.items():
        if signal.getsignal(number) == handler:  # in the background SIGINT is ignored, and stays so
            signal.signal(number, stop)
    if os.name == "posix":
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(reading,), daemon=True).start()


def _watch(reading: int) -> None:
    """End a process that does not end by itself after a signal, or at a second one.

    The exception of Python may be lost in a callback, or wait for C code that never returns.
    """
    from select import select

    number = 0
    while number not in {signal.SIGINT, signal.SIGTERM}:
        number = os.read(reading, 1)[0]
    select([reading], [], [], _PATIENCE)
    _end(number)


def _end(number: int) -> NoReturn:
    """Write that the command was stopped, and end the process."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):
        line_end = "\n" if sys.stderr.isatty() else ""  # after ^C or a progress bar
        sys.stderr.write(f"{line_end}detectorkit: stopped.\n")
        sys.stderr.flush()
    os._exit(128 + number)


if __name__ == "__main__":
    main()
