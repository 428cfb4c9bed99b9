"""sweep: the trials of one of W&B's sweep files without its server, and what is wrong with such a file before."""

from pathlib import Path

from lit_gans.errors import UserError, at_least
from lit_gans.sweeps.file import read_sweep


def run(file: Path, *, workers: int = 1, count: int | None = None, seed: int = 0, options: list[str] = ()) -> None:
    """Runs the trials of a sweep file here, without W&B's server; the same command again continues.

    Any number of such processes share the work, on any machines with the same disk: each task of a Slurm array runs the
    same command. Everything is in `runs/<name>`: the run directory and the log of each trial by its number, and the
    journal of Optuna. Random and grid search propose the same trials in whatever number of processes; bayes is Optuna's
    TPE, which takes running and failed trials for bad ones, as W&B's search does with failed ones: it leaves the places
    where trainings diverge. `early_terminate` is successive halving: see `Halving`.

    Args:
        file: W&B's YAML, as it is given to `wandb sweep`; its command is `lit-gans fit` with `${args}`.
        workers: Trials at a time; cores and GPUs are divided among them.
        count: Most trials in all, whichever process runs them; by default the file's `run_cap`, or all of a grid.
        seed: Decides what is proposed; that of the trainings is `seed_everything`.
        options: Of all trials; written after `--`: lit-gans sweep run FILE -- --data.root=data.
    """
    from lit_gans.jobs import run_jobs

    at_least(1, workers=workers, **{} if count is None else {"count": count})
    sweep, findings = read_sweep(file)
    total = count or (sweep.run_cap if sweep else None)
    if sweep:
        from lit_gans.sweeps.check import examine

        sweep = sweep.with_options(options)
        findings = [one for one in examine(sweep)[0] if one.key != "run_cap"]
        if not total and sweep.method != "grid":
            raise UserError(f"{file}: a {sweep.method} search has no end: give it run_cap, or --count")
    if errors := [one for one in findings if one.error]:
        more = f"; {len(errors) - 1} more by `lit-gans sweep check {file}`" if errors[1:] else ""
        raise UserError(f"{file}: {errors[0].key}: {errors[0].line}{more}")
    try:
        from lit_gans.sweeps.trials import Trials
    except ModuleNotFoundError as error:
        raise UserError(f"a sweep without W&B's server needs {error.name}: pip install 'lit-gans[sweep]'") from error
    trials = Trials(Path("runs") / sweep.name, sweep, total, seed)
    try:
        ended = True
        while ended:  # a trial that was lost while all others had been taken is there again
            ended = [
                print(trials.end(job, code), flush=True)
                for job, code in run_jobs(trials.jobs(), workers, enough=trials.is_bad)
            ]
    finally:
        trials.stop()
    print(trials.report())


def check(file: Path, *, options: list[str] = ()) -> None:
    """Tells all that is wrong with a sweep file, a line each, and how much work it asks for.

    Every value of every parameter, in every combination of classes, is read by the parser of `lit-gans fit`; nothing is
    trained, no data read, no server asked.

    Args:
        file: W&B's YAML.
        options: Of all trials; written after `--`.
    """
    sweep, findings = read_sweep(file)
    if sweep:
        from lit_gans.sweeps.check import examine

        findings, work = examine(sweep.with_options(options))
        print(work)
    for one in findings:
        print(one)
    if count := sum(one.error for one in findings):
        raise UserError(f"{file} has {count} error{'s' * (count > 1)}")
