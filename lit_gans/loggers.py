"""Where the rows of a run go: a CSV file that survives a resume, W&B (offline unless asked) and TensorBoard."""

import csv
import io
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import wandb
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from torch import Tensor

from lit_gans.errors import UserError
from lit_gans.files import replacing
from lit_gans.wandb_server import unreachable


def shortest(value: float) -> str:
    """The shortest text that stands for the number: as a float32 where it was one (0.64, not 0.6399999856948853)."""
    return str(np.float32(value)) if float(np.float32(value)) == value else repr(float(value))


class CSVRows(Logger):
    """One file `metrics.csv`: a line for each logged row, a column for each name; read and continued after a resume.

    Rows that an interrupted run wrote after its last checkpoint are cut when the continued run comes to the same step,
    so that the file has each step once. A column that appears later is added to all lines.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self.columns: list[str] = []
        self.continued = False

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.stem

    @property
    def version(self) -> str:
        """The name of the run directory."""
        return self.path.parent.name

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run directory has the whole config."""

    def rows(self) -> list[dict[str, str]]:
        """The rows of the file; a last line that was cut off in writing is left out."""
        if not self.path.exists():
            return []
        text = self.path.read_text()
        return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends one line."""
        row = {"step": step} | {key: shortest(value) for key, value in metrics.items() if key != "epoch"}
        before = None
        if not self.continued:
            before = [old for old in self.rows() if int(old["step"]) < row["step"]]
            self.columns = list(before[0]) if before else []
            self.continued = True
        new = [key for key in row if key not in self.columns]
        if new or before is not None:
            before = self.rows() if before is None else before
            self.columns += new
            with replacing(self.path) as temporary, open(temporary, "w", newline="") as file:
                writer = csv.DictWriter(file, self.columns, restval="")
                writer.writeheader()
                writer.writerows([*before, row])
        else:
            with open(self.path, "a", newline="") as file:
                csv.DictWriter(file, self.columns, restval="").writerow(row)


ENVIRONMENT = {
    "id": "WANDB_RUN_ID",
    "name": "WANDB_NAME",
    "project": "WANDB_PROJECT",
    "group": "WANDB_RUN_GROUP",
    "job_type": "WANDB_JOB_TYPE",
    "tags": "WANDB_TAGS",
}
"""Arguments of `wandb.init` for which the environment may have other values."""


def trial() -> str | None:
    """The id of the run that `wandb agent` expects from this process; None if it was not started by one."""
    return os.environ.get("WANDB_RUN_ID") if "WANDB_SWEEP_ID" in os.environ else None


class WandbRun(WandbLogger):
    """W&B with one axis, kimg, for numbers and pictures; offline unless asked, the same run after a resume.

    What is set by `WANDB_RUN_ID`, `WANDB_PROJECT` and the like goes before the arguments. `WANDB_MODE` counts unless
    `online` is given; what `wandb agent` starts is online without either.

    Args:
        run_dir: The run directory.
        name: The run's name and id.
        config: Shown and filtered by in W&B.
        online: Whether to talk to the server.
        fresh: Whether to replace the run of this name, if there is one, instead of continuing it.
        upload: Whether to send the checkpoints, too, when a training has reached its end; a continued one sends a new
            version of them.
        settings: Further arguments of `wandb.init`, such as project, group, job_type and tags.
    """

    def __init__(
        self,
        run_dir: str | Path,
        *,
        name: str,
        config: Mapping[str, Any],
        online: bool = False,
        fresh: bool = False,
        upload: bool = False,
        **settings: Any,
    ) -> None:
        run_dir = Path(run_dir)
        given = {key: os.environ[name] for key, name in ENVIRONMENT.items() if os.environ.get(name)}
        if "tags" in given:
            given["tags"] = given["tags"].split(",")
        named = {"id": name, "name": name, **settings, **given}
        super().__init__(name=named["name"], id=named["id"], save_dir=run_dir)
        if "WANDB_SWEEP_ID" in os.environ:  # then W&B takes them from there alone
            named = {key: value for key, value in named.items() if key not in ("id", "project")}
        self._settings = {
            "dir": str(run_dir.resolve()),  # the service may have another working directory
            "resume": None if fresh else "allow",
            "reinit": "create_new",  # not the run of another training in this process
            "config": dict(config),
            **named,
        }
        self._mode = "online" if online else os.environ.get("WANDB_MODE") or ("online" if trial() else "offline")
        self._checkpoints = run_dir / "checkpoints" if upload else None
        self._known: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """For spawned processes, of which the first opens the run."""
        return self.__dict__ | {"_experiment": None}

    @property
    @rank_zero_experiment
    def experiment(self) -> wandb.Run:
        """The run; opened when first asked for.

        Raises:
            UserError: the server was asked for and refuses, or the environment has a setting that W&B does not know.
        """
        if self._experiment is None:
            try:
                mode = self._mode
                if mode == "online" and (reason := unreachable()):
                    rank_zero_warn(f"{reason}: this run is logged offline")
                    mode = "offline"
                silent = os.environ.get("WANDB_SILENT") or mode != "online"
                settings = wandb.Settings(silent=silent, init_timeout=os.environ.get("WANDB_INIT_TIMEOUT") or 20)
                self._experiment = wandb.init(**self._settings, mode=mode, settings=settings)
                if self._checkpoints and mode != "online":
                    rank_zero_warn(f"--upload: the run is offline, its checkpoints stay in {self._checkpoints}")
                    self._checkpoints = None
            except (wandb.Error, ValueError) as error:
                reason = " ".join(str(error).partition("[type=")[0].split())
                advice = "log in with `wandb login`, leave --online out, or see WANDB_... in the environment"
                raise UserError(f"W&B: {reason} ({advice})") from error
            self._experiment.define_metric("kimg")
        return self._experiment

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: W&B has the whole config from the start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs one row, over kimg. Names are declared one by one, since overlapping patterns resolve at random."""
        for name in metrics.keys() - self._known - {"kimg"}:
            self.experiment.define_metric(name, step_metric="kimg")
            self._known.add(name)
        self.experiment.log({"step": step} | {name: float(shortest(value)) for name, value in metrics.items()})

    @rank_zero_only
    def log_picture(self, name: str, picture: Tensor, path: Path, *, step: int, kimg: float) -> None:
        """Logs the picture that was written to `path`."""
        image = wandb.Image(str(path), caption=f"{kimg:.3f} kimg")
        self.experiment.log({name: image, "kimg": kimg, "step": step})

    @rank_zero_only
    def log_protocols(self, hashes: Mapping[str, str]) -> None:
        """Notes in the config how each metric is made, so that unlike ones can be told apart in a table of runs."""
        self.experiment.config.update({"protocols": dict(hashes)}, allow_val_change=True)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Closes the run, so that all rows are on the disk; Lightning leaves that to the end of the process."""
        if self._experiment is not None:
            with suppress(ConnectionError):  # a scheduler may have ended W&B's process first; what it wrote stays
                if self._checkpoints and status == "success":
                    self.send_checkpoints(self._checkpoints)
            with suppress(ConnectionError):
                self._experiment.finish(exit_code=int(status != "success"))
            self._experiment = None

    def send_checkpoints(self, folder: Path) -> None:
        """Sends the checkpoints of a folder as one artifact, from where they lie: no copy is made."""
        name = re.sub(r"[^A-Za-z0-9_.-]", "-", f"checkpoints-{self.experiment.id}")[:128]  # others are refused
        try:
            artifact = wandb.Artifact(name, "model")
            for path in sorted(folder.glob("*.ckpt")):
                artifact.add_file(str(path), policy="immutable", skip_cache=True)
            self.experiment.log_artifact(artifact)
        except (wandb.Error, ValueError) as error:  # which makes a finished training no failed one
            rank_zero_warn(f"--upload: W&B refuses ({error}); the checkpoints stay in {folder}")


class TensorBoardRun(TensorBoardLogger):
    """TensorBoard's event files in `tensorboard/` of the run directory.

    Args:
        run_dir: The run directory.
    """

    def __init__(self, run_dir: str | Path) -> None:
        super().__init__(run_dir, name="", version="tensorboard", default_hp_metric=False)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run directory has the whole config."""

    @rank_zero_only
    def log_picture(self, name: str, picture: Tensor, path: Path, *, step: int, kimg: float) -> None:
        """Logs a picture (C, H, W) in [0, 1]."""
        self.experiment.add_image(name, picture, step)
