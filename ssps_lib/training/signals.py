"""SIGTERM and SIGINT while a run trains: finish the iteration, write a checkpoint, stop.

SIGTERM is what SLURM and other schedulers send before they kill; SIGINT is Ctrl-C, or the stop
button of a notebook.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SIGNALS = (signal.SIGTERM, signal.SIGINT)
STARTER_LIVES = "SSPS_STARTER_LIVES"  # set where standard input ends with the starting process


@dataclass
class Notice:
    """The signal that came, if one did."""

    number: int | None = None


def stopped(number: int | None, what: str) -> BaseException:
    """What ends the training: KeyboardInterrupt after SIGINT, SystemExit (status 1) else.

    Args:
        number: of the signal, None where another process got it.
        what: was stopped, and what is kept of it, as the sentence says it.
    """
    name = signal.Signals(number or signal.SIGTERM).name
    sentence = f"{name} stopped {what}, start the same run again and it continues from there"
    return KeyboardInterrupt(sentence) if number == signal.SIGINT else SystemExit(sentence)


@contextmanager
def _handled(handler: Callable) -> Iterator[None]:
    """Handle SIGNALS inside the block; in another than the main thread Python cannot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, signal.SIG_DFL if previous is None else previous)


@contextmanager
def noticed() -> Iterator[Notice]:
    """Signals that come inside the block are noted, for the training to stop when it can.

    A second SIGINT interrupts at once.
    """
    notice = Notice()

    def note(number: int, frame: object) -> None:
        if number == notice.number == signal.SIGINT:
            raise KeyboardInterrupt
        notice.number = number

    with _handled(note):
        yield notice


@contextmanager
def raised(what: str) -> Iterator[None]:
    """Signals that come inside the block end it at once, see `stopped`."""

    def end(number: int, frame: object) -> None:
        raise stopped(number, what)

    with _handled(end):
        yield


def follow_starter() -> None:
    """Stop this process, as SIGTERM does, when the process that started it is gone.

    The starter holds the other end of our standard input and never writes to it, so that its end,
    even by SIGKILL, is the end of our input.
    """

    def wait() -> None:
        while os.read(0, 4096):  # not sys.stdin, whose lock this thread would hold at the end
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    if os.environ.get(STARTER_LIVES) == "1":
        threading.Thread(target=wait, daemon=True).start()
