import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

from lit_gans.cli import parse
from lit_gans.errors import UserError, at_least
from lit_gans.files import replacing
from lit_gans.jobs import Job, run_jobs
from lit_gans.progress import State, progress_of, table
from lit_gans.study import Study, check_free, part_of, read_study

ARRAY = """#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --output={logs}/slurm-%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=TERM@120
srun {command}
"""
"""A job for each run. Two minutes before its time is up, and when it is moved, the training writes its checkpoint."""


def run(
    study: Path,
    *,
    workers: int | None = None,
    seeds: list[int] | None = None,
    only: list[str] | None = None,
    full: bool = False,
    retry: bool = False,
    slurm: str | None = None,
    index: int | None = None,
    options: list[str] = (),
) -> None:
    """Trains the runs of a study that are missing or were stopped; the same command again goes on.

    Args:
        study: The file: budget, seeds, datasets, variants and options of `lit-gans fit`.
        workers: Runs at a time, among which cores and GPUs are divided; by default one, and of Slurm as many as it has.
        seeds: In place of those of the file.
        only: Variants and datasets to take: [wgan,mnist].
        full: Take what stands under `full` in the file.
        retry: Also try failed runs again.
        slurm: Submit an array of jobs with these options of sbatch: "--partition=gpu --gres=gpu:1".
        index: Train only the run with this number, counted from 0; what a job of the array does.
        options: Of all trainings; written after `--`: lit-gans study run FILE -- --data.root=data.
    """
    at_least(1, workers=1 if workers is None else workers)
    for name in (option.removeprefix("--").partition("=")[0] for option in options):
        check_free(name, "the command line")
        if name == "config":
            raise UserError("a --config after all options would undo them: name it among the options of the study")
    chosen = part_of(read_study(study, full=full), seeds=seeds, only=only)
    wanted = {"missing", "stopped", *["failed"] * retry}
    if index is not None:
        train_one(chosen, index, list(options))
        return
    check(chosen, list(options))
    if slurm is not None:
        submit(chosen, wanted, slurm, workers, list(options))
    else:
        train(chosen, wanted, workers or 1, list(options))


def status(study: Path, *, seeds: list[int] | None = None, only: list[str] | None = None, full: bool = False) -> None:
    """Shows which runs of a study are done, running, stopped, failed or missing.

    Args:
        study: The file.
        seeds: In place of those of the file.
        only: Variants and datasets to show: [wgan,mnist].
        full: Take what stands under `full` in the file.
    """
    show(part_of(read_study(study, full=full), seeds=seeds, only=only))


def show(study: Study) -> list[tuple[str, State]]:
    """Prints the table of a study, and how its runs are compared; returns what became of each."""
    found = [(run, progress_of(study, run)) for run in study.runs()]
    print(table(study, found))
    print(f"compare them: lit-gans compare {study.folder}")
    return [(run.name, far.state) for run, far in found]


def check(study: Study, options: list[str]) -> None:
    """Lets the parser of `fit` read the options of each variant on each dataset, before anything is trained.

    Raises:
        UserError: it refuses some.
    """
    for run in {(run.variant, run.dataset): run for run in study.runs()}.values():
        if isinstance(refusal := parse(["fit", *study.arguments(run, options)]), str):
            raise UserError(f"{study.path}: {run.variant} on {run.dataset}: {refusal}")


def train(study: Study, wanted: set[State], workers: int, options: list[str]) -> None:
    """Trains the runs in a wanted state, here.

    Raises:
        UserError: some failed, or were made otherwise than the study says.
    """
    due = (run for run in study.runs() if progress_of(study, run).state in wanted)  # others may work at it, too
    total = sum(progress_of(study, run).state in wanted for run in study.runs())
    failed = set()
    try:
        for job, code in run_jobs((study.job(run, options) for run in due), workers, total=total):
            tqdm.write(f"{job.name}: {f'exit code {code}: {last_line(job)} (see {job.log})' if code else 'done'}")
            failed |= {job.name} if code else set()
    except (KeyboardInterrupt, SystemExit):
        print("Stopped; the same command goes on.")
        raise
    states = show(study)
    if count := sum(state == "failed" or name in failed and state in ("missing", "stopped") for name, state in states):
        raise UserError(f"{count} of {len(states)} runs failed: see {study.folder / 'logs'}; --retry tries again")
    if count := sum(state == "changed" for _, state in states):
        raise UserError(
            f"{count} of {len(states)} runs were made otherwise than {study.path} says now (see above): "
            "delete their directories to train them anew, or give the file another name"
        )


def last_line(job: Job) -> str:
    """What a job said last."""
    return (job.log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]


def train_one(study: Study, index: int, options: list[str]) -> None:
    """Becomes the training of one run, so that signals reach it; it does nothing if the run is done."""
    runs = study.runs()
    if not 0 <= index < len(runs):
        raise UserError(f"--index={index}: the runs have numbers from 0 to {len(runs) - 1}")
    if progress_of(study, runs[index]).state == "done":
        print(f"{runs[index].name} is done")
        return
    command = study.job(runs[index], options).command
    os.execv(command[0], command)


def submit(study: Study, wanted: set[State], given: str, workers: int | None, options: list[str]) -> None:
    """Submits a Slurm array with a job for each run in a wanted state.

    Raises:
        UserError: there is no Slurm, or it refuses.
    """
    due = [str(index) for index, run in enumerate(study.runs()) if progress_of(study, run).state in wanted]
    if not due:
        show(study)
        return
    if not shutil.which("sbatch"):
        raise UserError("--slurm: there is no sbatch here; submit from a machine of a Slurm cluster")
    chosen = [f"--seeds={json.dumps(study.seeds)}", f"--only={json.dumps([*study.variants, *study.datasets])}"]
    command = [sys.executable, "-m", "lit_gans", "study", "run", str(study.path), *["--full"] * study.full, *chosen]
    parts = [shlex.join(command), "--index=$SLURM_ARRAY_TASK_ID", "--", shlex.join(options)]
    logs, script = study.folder / "logs", study.folder / "study.sbatch"
    logs.mkdir(parents=True, exist_ok=True)
    with replacing(script) as temporary:
        temporary.write_text(ARRAY.format(name=study.name, logs=logs, command=" ".join(parts)))
    array = f"--array={','.join(due)}" + (f"%{workers}" if workers else "")
    try:
        asked = ["sbatch", "--parsable", array, *shlex.split(given), str(script)]
    except ValueError as error:
        raise UserError(f"--slurm={given}: {error}") from error
    answer = subprocess.run(asked, capture_output=True, text=True)
    if answer.returncode:
        raise UserError(f"Slurm refuses: {' '.join(answer.stderr.split())}")
    print(f"submitted {len(due)} runs as job {answer.stdout.strip()}; lit-gans study status {study.path} shows them")
