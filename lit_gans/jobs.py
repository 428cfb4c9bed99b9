"""Commands beside one another: some at a time, each into its log file, stopped together."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import length_hint
from pathlib import Path
from types import FrameType

from tqdm import tqdm

SECONDS_BETWEEN_LOOKS = 0.1


@dataclass(frozen=True)
class Job:
    """A command to run.

    Attributes:
        name: Tells it apart from the others.
        command: Program and arguments.
        log: File that all it prints is appended to.
        environment: Variables, besides those of this process.
    """

    name: str
    command: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)


def run_jobs(
    jobs: Iterable[Job],
    workers: int,
    *,
    total: int | None = None,
    enough: Callable[[Job], bool] = lambda job: False,
) -> Iterator[tuple[Job, int]]:
    """Runs jobs, `workers` at a time, with the processor's cores and the GPUs divided among them.

    When this process is interrupted or told to terminate, or the caller asks for no more, the running ones are told to
    terminate and waited for, so that trainings write their checkpoints; a second interruption kills them.

    Args:
        jobs: Asked for the next one when a worker is free, after the caller has taken the results before.
        workers: Number of jobs at a time.
        total: Number of jobs, for the progress bar; by default what `jobs` itself says.
        enough: Asked again and again of each running job; one that it says yes to is told to terminate.

    Yields:
        Jobs as they end, with their return codes.

    Raises:
        OSError: a command cannot be started, or a log cannot be written.
    """
    waiting, running, done, failed = iter(jobs), {}, 0, 0

    def counts() -> str:
        return f"{done} done, {failed} failed, {len(running)} running"

    total = total if total is not None else length_hint(jobs) or None
    with tqdm(total=total, unit="job", disable=None) as bar, obeying_sigterm():
        try:
            while True:
                for worker in range(workers):
                    if worker not in running and (job := next(waiting, None)) is not None:
                        running[worker] = job, start(job, worker, workers)
                if not running:
                    return
                while not (ended := [one for one, (_, process) in running.items() if process.poll() is not None]):
                    bar.set_postfix_str(counts())
                    time.sleep(SECONDS_BETWEEN_LOOKS)
                    for process in [process for job, process in running.values() if enough(job)]:
                        process.terminate()
                for worker in ended:
                    job, process = running.pop(worker)
                    done, failed = done + (process.returncode == 0), failed + (process.returncode != 0)
                    bar.set_postfix_str(counts(), refresh=False)
                    bar.update()
                    yield job, process.returncode
        finally:
            stop([process for _, process in running.values()])


def start(job: Job, worker: int, workers: int) -> subprocess.Popen:
    """Starts a job, in a session of its own: what is typed on the terminal reaches this process only."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    environment = share(worker, workers) | os.environ | visible(worker, workers) | job.environment
    environment.pop("WANDB_SERVICE", None)  # of this process: the run of a job that is killed would stay open in it
    with job.log.open("a") as log:
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def share(worker: int, workers: int) -> dict[str, str]:
    """A worker's part of the cores, for who has not said how many threads he wants."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()  # not on a Mac
    return {"OMP_NUM_THREADS": str(max(cores // workers, 1))}


def visible(worker: int, workers: int) -> dict[str, str]:
    """A worker's GPUs: all in turn are dealt out, and if there are fewer than workers, some share one."""
    there = gpus() if workers > 1 else []
    mine = there[worker::workers] or there[worker % len(there) :][:1] if there else []
    return {"CUDA_VISIBLE_DEVICES": ",".join(mine)} if mine else {}


def gpus() -> list[str]:
    """The GPUs that this process may use."""
    if (allowed := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [one.strip() for one in allowed.split(",") if one.strip()]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout.splitlines()
    return [str(index) for index in range(sum(line.startswith("GPU ") for line in listed))]


def stop(processes: list[subprocess.Popen]) -> None:
    """Tells processes once to terminate, and waits for them; kills them, and what they started, if interrupted."""
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
    except BaseException:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        raise


@contextmanager
def obeying_sigterm() -> Iterator[None]:
    """Lets SIGTERM end the block by an exception, as Ctrl-C does; signals are the main thread's alone."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
