import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from lit_gans.cli import names_of, parse
from lit_gans.errors import UserError, at_least
from lit_gans.jobs import run_jobs
from lit_gans.progress import Progress, State, last_line, progress_of, table
from lit_gans.run import Config, batches
from lit_gans.study import Planned, Study, check_free, part_of, read_study

Configs = dict[tuple[str, str], Config]
"""What `fit` makes of the options of a variant on a dataset."""

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

    Nothing is trained while there are runs made with other options, as the file or what follows `--` had them.

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
    chosen = part_of(read_study(study, full=full), seeds=seeds, only=only)
    wanted = {"missing", "stopped", *["failed"] * retry}
    if index is not None:
        train_one(chosen, index, list(options))
        return
    configs = check(chosen, chosen.runs(), options)
    refuse_changed(chosen, found := look(chosen, configs))
    if slurm is not None:
        submit(chosen, found, wanted, slurm, workers, list(options))
    else:
        train(chosen, found, configs, wanted, workers or 1, list(options))


def status(
    study: Path,
    *,
    seeds: list[int] | None = None,
    only: list[str] | None = None,
    full: bool = False,
    options: list[str] = (),
) -> None:
    """Shows which runs of a study are done, running, stopped, failed, missing, or made otherwise than the file says.

    Args:
        study: The file.
        seeds: In place of those of the file.
        only: Variants and datasets to show: [wgan,mnist].
        full: Take what stands under `full` in the file.
        options: What `study run` was given after `--`, which the runs then must have been made with, too.
    """
    chosen = part_of(read_study(study, full=full), seeds=seeds, only=only)
    configs = check(chosen, chosen.runs(), options) if options else {}  # without, nothing slow is imported
    show(chosen, look(chosen, configs))


def look(study: Study, configs: Configs) -> list[tuple[Planned, Progress]]:
    """What became of each run."""
    return [(run, progress_of(study, run, configs.get(run[:2]))) for run in study.runs()]


def show(study: Study, found: list[tuple[Planned, Progress]]) -> None:
    """Prints the table of a study, and how its runs are compared."""
    print(table(study, found))
    print(f"compare them: lit-gans compare {study.folder}")


def check(study: Study, runs: list[Planned], options: Sequence[str]) -> Configs:
    """Lets the parser of `fit` read the options of each variant on each dataset, before anything is trained.

    Raises:
        UserError: it refuses some, or one is not for the command line.
    """
    for name in names_of(options):
        check_free(name, "the command line")
    configs = {}
    for run in {run[:2]: run for run in runs}.values():
        configs[run[:2]] = config = parse(["fit", *study.arguments(run, options)])
        try:
            if isinstance(config, str):
                raise UserError(config)
            if config["max_kimg"]:
                batches(config["max_kimg"], config["data"]["init_args"]["batch_size"])
        except UserError as error:
            raise UserError(f"{study.path}: {run.variant} on {run.dataset}: {error}") from error
    return configs


def refuse_changed(study: Study, found: list[tuple[Planned, Progress]]) -> None:
    """Says which runs were made otherwise than the study says.

    Raises:
        UserError: some were.
    """
    if changed := [f"{run.name} {far.reason}" for run, far in found if far.state == "changed"]:
        raise UserError(
            f"{len(changed)} of {len(found)} runs were made otherwise than {study.path} and this command say now, or "
            f"by another version ({changed[0]}): delete their directories, or give the file another name"
        )


def train(
    study: Study,
    found: list[tuple[Planned, Progress]],
    configs: Configs,
    wanted: set[State],
    workers: int,
    options: list[str],
) -> None:
    """Trains the runs in a wanted state, here.

    Raises:
        UserError: some failed, or were made otherwise than the study says.
    """
    total = sum(far.state in wanted for _, far in found)
    # Others may work at it, too: what became of a run is asked when its turn comes.
    due = (run for run in study.runs() if progress_of(study, run, configs[run[:2]]).state in wanted)
    failed = set()
    try:
        for job, code in run_jobs((study.job(run, options) for run in due), workers, total=total):
            tqdm.write(f"{job.name}: {f'exit code {code}: {last_line(job.log)} (see {job.log})' if code else 'done'}")
            failed |= {job.name} if code else set()
    except (KeyboardInterrupt, SystemExit):
        print("Stopped; the same command goes on.")
        raise
    show(study, found := look(study, configs))
    if count := sum(
        far.state == "failed" or run.name in failed and far.state in ("missing", "stopped") for run, far in found
    ):
        raise UserError(f"{count} of {len(found)} runs failed: see {study.folder / 'logs'}; --retry tries again")
    refuse_changed(study, found)


def train_one(study: Study, index: int, options: list[str]) -> None:
    """Becomes the training of one run, so that signals reach it; it does nothing if the run is done."""
    runs = study.runs()
    if not 0 <= index < len(runs):
        raise UserError(f"--index={index}: the runs have numbers from 0 to {len(runs) - 1}")
    run = runs[index]
    if progress_of(study, run, check(study, [run], options)[run[:2]]).state == "done":
        print(f"{run.name} is done")
        return
    command = study.job(run, options).command
    os.execv(command[0], command)


def submit(
    study: Study,
    found: list[tuple[Planned, Progress]],
    wanted: set[State],
    given: str,
    workers: int | None,
    options: list[str],
) -> None:
    """Submits a Slurm array with a job for each run in a wanted state.

    Raises:
        UserError: there is no Slurm, or it refuses.
    """
    due = [str(index) for index, (_, far) in enumerate(found) if far.state in wanted]
    if not due:
        show(study, found)
        return
    if not shutil.which("sbatch"):
        raise UserError("--slurm: there is no sbatch here; submit from a machine of a Slurm cluster")
    chosen = [f"--seeds={json.dumps(study.seeds)}", f"--only={json.dumps([*study.variants, *study.datasets])}"]
    command = [sys.executable, "-m", "lit_gans", "study", "run", str(study.path), *["--full"] * study.full, *chosen]
    parts = [shlex.join(command), "--index=$SLURM_ARRAY_TASK_ID", "--", shlex.join(options)]
    logs = study.folder / "logs"
    script = ARRAY.format(name=study.name, logs=logs, command=" ".join(parts))
    array = f"--array={','.join(due)}" + (f"%{workers}" if workers else "")
    try:
        asked = ["sbatch", "--parsable", array, *shlex.split(given)]
    except ValueError as error:
        raise UserError(f"--slurm={given}: {error}") from error
    new = [folder for folder in (logs, *logs.parents) if not folder.exists()]
    logs.mkdir(parents=True, exist_ok=True)  # a job that cannot write its log there fails
    answer = subprocess.run(asked, input=script, capture_output=True, text=True)
    if answer.returncode:
        with suppress(OSError):  # somebody else's are in it by now
            for folder in new:
                folder.rmdir()
        raise UserError(f"Slurm refuses: {' '.join(answer.stderr.split())}")
    print(f"submitted {len(due)} runs as job {answer.stdout.strip()}; lit-gans study status {study.path} shows them")
