"""The trials of a sweep: which one is next, what it is doing, and how it ended; shared by any number of processes."""

import json
import math
import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from lit_gans.comparison.doubts import HALTED
from lit_gans.errors import UserError
from lit_gans.jobs import Job
from lit_gans.status import Status, is_held, read_status, write_status
from lit_gans.sweeps.file import Sweep, Values, told
from lit_gans.sweeps.outcome import logged, why

optuna.logging.set_verbosity(optuna.logging.WARNING)
WORKER_LOCK = ".sweep.lock"
SHOWN = 10
"""Best trials in a report."""


@dataclass
class Running:
    """A trial that this process runs.

    Attributes:
        trial: Optuna's.
        values: Of its parameters, as the command gets them.
        run_dir: Of its training.
        lock: Tells others that it is being run, for as long as this process lives.
        read: Size of `metrics.csv` when it was last looked at.
        bad: Whether it was stopped early.
    """

    trial: optuna.Trial
    values: Values
    run_dir: Path
    lock: FileLock
    read: int = 0
    bad: bool = False


@dataclass
class Trials:
    """The trials in `sweep.journal` of a folder, which is Optuna's and may be written by many processes at once.

    A trial is proposed while no other process proposes one. Its parameters depend on its number, the seed and what is
    known by then, so those of a grid or a random search are the same however many processes share the work.

    A trial that the journal has as running while neither a worker nor a training holds its run directory was lost. It
    is run once more there, where a training continues; the second time, it has failed. One whose worker was told to
    stop is not lost, and continues likewise.

    Attributes:
        folder: `runs/<name of the sweep>`: holds the journal, and of each trial its run directory and its log.
        sweep: What is asked for.
        total: Most trials; None for all of a grid.
        seed: Decides what is proposed.
    """

    folder: Path
    sweep: Sweep
    total: int | None = None
    seed: int = 0
    running: dict[str, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.folder / ".lock")
        with self.lock:
            try:
                self.study = optuna.create_study(
                    storage=JournalStorage(JournalFileBackend(str(self.folder / "sweep.journal"))),
                    study_name=self.sweep.name,
                    load_if_exists=True,
                    direction=self.sweep.goal,
                    pruner=self.sweep.halving.pruner() if self.sweep.halving else optuna.pruners.NopPruner(),
                )
            except (ValueError, KeyError, TypeError) as error:
                reason = f"{self.folder / 'sweep.journal'} is damaged ({error})"
                raise UserError(f"{reason}: cut off its last line, or delete it") from error
            asked = {key: json.dumps(value, default=str) for key, value in self.sweep.asked.items()}
            before = self.study.user_attrs.get("asked")
            if before is None:
                self.study.set_user_attr("asked", asked)
            elif differing := [key for key in asked if before.get(key) != asked[key]]:
                was = f"{self.folder} was begun with another {' and '.join(differing)}"
                raise UserError(f"{was}: go on with that, give the sweep another `name`, or delete the folder")

    def jobs(self) -> Iterator[Job]:
        """The commands to run, each proposed when it is asked for."""
        while running := self.next():
            number = running.trial.number
            self.running[str(number)] = running
            own = [f"--study={self.sweep.name}", f"--run_dir={running.run_dir}"]
            yield Job(str(number), [*self.sweep.arguments(running.values), *own], self.folder / f"{number}.log")

    def next(self) -> Running | None:
        """A trial that was lost or stopped, or else a new one; None if there are enough."""
        with self.lock:
            for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                if (lock := self.free(trial.number)) and (running := self.taken_up(trial, lock)):
                    return running
            trials = self.study.get_trials(deepcopy=False)
            if self.target_is_reached(trials):
                return None
            if not any(trial.state == TrialState.WAITING for trial in trials):  # of a process killed at this place
                if len(trials) >= self.most:
                    return None
                self.study.enqueue_trial(self.fixed(len(trials)))
            trial = self.study.ask()
            lock = self.free(trial.number)
            return self.made(trial, lock)

    @property
    def most(self) -> float:
        """How many trials there will be."""
        size = self.sweep.size if self.sweep.method == "grid" else math.inf
        return min(size, self.total or math.inf)

    def target_is_reached(self, trials: list[FrozenTrial]) -> bool:
        """Whether a trial has the value that ends the sweep."""
        sign = -1 if self.sweep.goal == "maximize" else 1
        target = -math.inf if self.sweep.target is None else sign * self.sweep.target
        return any(trial.state == TrialState.COMPLETE and sign * trial.value <= target for trial in trials)

    def known(self, number: int) -> FrozenTrial:
        """What the journal tells of a trial."""
        return self.study.get_trials(deepcopy=False)[number]

    def run_dir(self, number: int) -> Path:
        """Of a trial."""
        return self.folder / str(number)

    def free(self, number: int) -> FileLock | None:
        """The lock of a trial that nobody runs; None if somebody does."""
        self.run_dir(number).mkdir(exist_ok=True)
        lock = FileLock(self.run_dir(number) / WORKER_LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return None
        if is_held(self.run_dir(number)):  # by a training whose worker was killed
            lock.release()
            return None
        return lock

    def taken_up(self, trial: FrozenTrial, lock: FileLock) -> Running | None:
        """A lost or stopped trial, once more; None if that was tried before, and it has failed."""
        taken = optuna.Trial(self.study, trial._trial_id)
        if not trial.user_attrs.get("stopped"):
            if trial.user_attrs.get("lost"):
                self.fail(trial.number, "was lost twice, see its log")
                lock.release()
                return None
            taken.set_user_attr("lost", True)
        taken.set_user_attr("stopped", False)
        return self.made(taken, lock)

    def fixed(self, number: int) -> Values:
        """The parameters of a new trial that Optuna doesn't choose: all of a grid, and some of a random search."""
        if self.sweep.method == "grid":
            return self.sweep.point(number)
        if self.sweep.method == "bayes":
            return {}
        random = np.random.default_rng([self.seed, number])
        drawn = {name: one.drawn(random) for name, one in self.sweep.parameters.items()}
        return {name: text for name, text in drawn.items() if text is not None}

    def made(self, trial: optuna.Trial, lock: FileLock) -> Running:
        """The trial with its parameters."""
        seed = int(np.random.SeedSequence([self.seed, trial.number]).generate_state(1)[0])
        self.study.sampler = (
            optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            if self.sweep.method == "bayes"
            else optuna.samplers.RandomSampler(seed=seed)
        )
        values = {name: one.suggest(trial, name) for name, one in self.sweep.parameters.items()}
        return Running(trial, values, self.run_dir(trial.number), lock)

    def is_bad(self, job: Job) -> bool:
        """Whether a running trial is to be stopped early, said once; looks only when it has logged something."""
        running = self.running[job.name]
        rows = running.run_dir / "metrics.csv"
        if not self.sweep.halving or running.bad or not rows.exists() or rows.stat().st_size == running.read:
            return False
        running.read = rows.stat().st_size
        values, known = logged(rows).get(self.sweep.metric, []), self.known(running.trial.number).intermediate_values
        running.bad = self.sweep.halving.bad(running.trial, values, len(known))
        return running.bad

    def end(self, job: Job, code: int) -> str:
        """Notes how a trial ended, unless it was lost and will be run again.

        Returns:
            A line that tells it.
        """
        if code == 0:
            self.is_bad(job)  # too late for itself, but others are compared with it
        running = self.running.pop(job.name)
        number = running.trial.number
        try:
            if code == 0:
                return self.complete(number)
            if running.bad:
                return self.pruned(running)
            if is_held(running.run_dir):
                return f"trial {number} is still being trained by a process whose worker was killed"
            if code < 0 or code > 128:
                return f"trial {number} was killed (code {code})"
            return self.fail(number, why(running.run_dir, job.log))
        finally:
            running.lock.release()

    def complete(self, number: int) -> str:
        """Notes the value of a trial that came to its end: the last one that was logged, as in W&B's summary."""
        columns = logged(self.run_dir(number) / "metrics.csv")
        if not self.sweep.metric:
            self.study.tell(number, 0.0)  # Optuna wants some
            return f"trial {number} is complete"
        if self.sweep.metric not in columns:
            return self.fail(number, f"logged no {self.sweep.metric}, but {', '.join(columns) or 'nothing'}")
        value = columns[self.sweep.metric][-1]
        if not math.isfinite(value):
            return self.fail(number, f"{self.sweep.metric} is {value}")
        self.study.tell(number, value)
        return f"trial {number}: {self.sweep.metric} {value:.5g}"

    def pruned(self, running: Running) -> str:
        """Notes that a trial was stopped early, also in its run directory."""
        values = self.known(running.trial.number).intermediate_values
        reason = f"{HALTED}: {self.sweep.metric} {values[max(values)]:.5g} after {len(values)} values"
        self.study.tell(running.trial.number, state=TrialState.PRUNED)
        write_status(running.run_dir, Status("stopped", reason, read_status(running.run_dir).length))
        return f"trial {running.trial.number} {reason}"

    def fail(self, number: int, reason: str) -> str:
        """Notes that a trial failed, and why.

        TPE looks at no failed ones: for it they are stopped early, and break a constraint, so that it puts them last.
        """
        trial = optuna.Trial(self.study, self.known(number)._trial_id)
        trial.set_user_attr("reason", reason)
        if self.sweep.method == "bayes":
            trial.set_constraint("trains", 1.0)
        self.study.tell(number, state=TrialState.PRUNED if self.sweep.method == "bayes" else TrialState.FAIL)
        return f"trial {number} failed: {reason}"

    def stop(self) -> None:
        """Notes that the trials still running were told to stop, and are not lost."""
        with ExitStack() as locks:
            for running in self.running.values():
                locks.callback(running.lock.release)
                running.trial.set_user_attr("stopped", True)
        self.running.clear()

    def report(self) -> str:
        """The best trials, those that failed and why, and what to do with them."""
        trials = self.study.get_trials(deepcopy=False)
        ended = [trial for trial in trials if trial.state in (TrialState.FAIL, TrialState.PRUNED)]
        failed = {trial.number: trial.user_attrs["reason"] for trial in ended if "reason" in trial.user_attrs}
        names = ("failed" if trial.number in failed else trial.state.name.lower() for trial in trials)
        states = Counter(names).most_common()
        counts = ", ".join(f"{count} {name}" for name, count in states)
        lines = [f"{len(trials)} trial{'s' * (len(trials) != 1)} of {self.sweep.name}: {counts}"]
        lines += [f"trial {number} failed: {reason}" for number, reason in failed.items()]
        done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        if done and self.sweep.metric:
            done.sort(key=lambda trial: trial.value, reverse=self.sweep.goal == "maximize")
            lines += [f"{self.sweep.metric:>12}  trial  parameters"]
            lines += [f"{trial.value:12.5g}  {trial.number:5}  {told(trial.params)}" for trial in done[:SHOWN]]
            best = {name: str(done[0].params[name]) for name in self.sweep.parameters}
            fit = self.sweep.fit_arguments(best)
            command = self.sweep.arguments(best) if fit is None else ["lit-gans", "fit", *fit]
            if done[1:]:
                luck = f"The best of {len(done)} trials owes some of its value to chance"
                lines += [f"{luck}: train it again with other seeds (--seed_everything)."]
            lines += [f"the best one again: {shlex.join(command)}"]
        return "\n".join([*lines, f"all side by side: lit-gans compare {self.folder}"])
