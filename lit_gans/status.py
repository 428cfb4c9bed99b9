"""What became of a run: `status.json` in its directory, written when a training begins and when it ends."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from lit_gans.errors import line_for_user
from lit_gans.files import replacing

State = Literal["running", "finished", "stopped", "failed"]
"""Stopped runs were interrupted or killed, and continue with the same command; failed ones ended with an error."""

LOCK = ".lock"


class Status(NamedTuple):
    """How far a run came.

    `reason` is the error of a failed run, in one line; `length` what was asked for: `max_kimg`, or else `max_steps`,
    `max_epochs` and `max_time`.
    """

    state: State
    reason: str = ""
    length: dict[str, Any] = {}


def write_status(run_dir: Path, status: Status) -> None:
    """Writes it, with time and machine."""
    where = {"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), "host": socket.gethostname()}
    with replacing(run_dir / "status.json") as temporary:
        temporary.write_text(json.dumps(status._asdict() | where, indent=2) + "\n")


def read_status(run_dir: Path) -> Status:
    """What became of the run; one that says it is running while no process holds its lock was killed."""
    try:
        found = json.loads((run_dir / "status.json").read_text())
        status = Status(found["state"], str(found["reason"]), dict(found["length"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Status("stopped")
    if status.state not in get_args(State):
        return Status("stopped")
    if status.state == "running" and not is_held(run_dir):
        return status._replace(state="stopped", reason="killed, or its machine failed")
    return status


def is_held(run_dir: Path) -> bool:
    """Whether a process is training in the run directory; any number may ask at a time."""
    try:
        with open(run_dir / LOCK) as lock:
            from fcntl import LOCK_NB, LOCK_SH, flock

            flock(lock, LOCK_SH | LOCK_NB)  # shared by all who ask, but not with a training
    except FileNotFoundError:
        return False
    except (OSError, ImportError):  # it is held; or the file system or, on Windows, Python has no such locks
        return True
    return False


@contextmanager
def reporting(run_dir: Path, length: dict[str, Any]) -> Iterator[None]:
    """Writes the status before and after the block.

    Args:
        run_dir: Of the run.
        length: What was asked for.
    """
    write_status(run_dir, Status("running", length=length))
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        write_status(run_dir, Status("stopped", "interrupted", length))
        raise
    except BaseException as error:
        write_status(run_dir, Status("failed", line_for_user(error) or f"{type(error).__name__}: {error}", length))
        raise
    write_status(run_dir, Status("finished", length=length))
