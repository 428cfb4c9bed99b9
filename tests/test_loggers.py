import csv
import pickle
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import numpy as np
import pytest
import wandb

from lit_gans.callbacks.monitor import draw_curves, drawable
from lit_gans.errors import UserError
from lit_gans.loggers import CSVRows, WandbRun, shortest


def read(path="metrics.csv"):
    return [dict(row) for row in csv.DictReader(Path(path).open())]


def test_columns_that_come_later_are_added():
    log = CSVRows("metrics.csv")
    log.log_metrics({"a": 1.0, "epoch": 0}, step=1)
    log.log_metrics({"b": 2.0}, step=2)
    log.log_metrics({"a": 3.0, "b": 4.0}, step=3)
    assert read() == [
        {"step": "1", "a": "1.0", "b": ""},
        {"step": "2", "a": "", "b": "2.0"},
        {"step": "3", "a": "3.0", "b": "4.0"},
    ]


def test_a_continued_file_has_each_step_once():
    log = CSVRows("metrics.csv")
    for step in range(1, 6):
        log.log_metrics({"a": float(step)}, step=step)
    with open("metrics.csv", "a") as file:
        file.write("6,6")  # a line that was cut off in writing
    continued = CSVRows("metrics.csv")
    continued.log_metrics({"a": 30.0}, step=3)
    continued.log_metrics({"a": 40.0}, step=4)
    assert [(row["step"], row["a"]) for row in read()] == [("1", "1.0"), ("2", "2.0"), ("3", "30.0"), ("4", "40.0")]


def test_a_scheduler_may_end_the_process_of_wandb_first():
    class Gone:
        def finish(self, exit_code):
            raise ConnectionResetError("Connection lost")

    log = WandbRun(".", name="run", config={})
    log._experiment = Gone()
    log.finalize("failed")
    assert log._experiment is None


def test_wandb_is_told_how_each_metric_was_made():
    log = WandbRun(".", name="run", config={"seed": 0})
    for digest in ("12345678", "90abcdef"):
        log.log_protocols({"val/fid": digest})
    assert log.experiment.config["protocols"] == {"val/fid": "90abcdef"}
    assert log.experiment.config["seed"] == 0
    log.finalize("success")


def test_trainings_in_one_process_have_runs_of_their_own():
    logs = [WandbRun(name, name=name, config={}) for name in ("one", "other")]
    assert [log.experiment.id for log in logs] == [log.version for log in logs] == ["one", "other"]
    for log in logs:
        log.log_metrics({"kimg": 1.0})
        log.finalize("success")
    assert [len(list(Path(name).glob("wandb/offline-run-*"))) for name in ("one", "other")] == [1, 1]


def test_the_environment_of_wandb_goes_before(monkeypatch):
    given = {"RUN_ID": "id", "NAME": "name", "PROJECT": "project", "RUN_GROUP": "group", "TAGS": "a,b"}
    for key, value in given.items():
        monkeypatch.setenv(f"WANDB_{key}", value)
    log = WandbRun(".", name="ours", config={}, project="ours", group="ours", job_type="ours", tags=["ours"])
    run = log.experiment
    assert (run.id, run.name, run.project, run.group) == ("id", "name", "project", "group")
    assert (run.settings.run_job_type, run.tags, log.version) == ("ours", ("a", "b"), "id")
    log.finalize("success")


@pytest.mark.parametrize(
    ("online", "environment", "mode"),
    [
        (False, {}, "offline"),
        (True, {}, "online"),
        (False, {"MODE": "disabled"}, "disabled"),
        (False, {"MODE": "online"}, "online"),
        (True, {"MODE": "offline"}, "online"),
        (False, {"SWEEP_ID": "sweep", "RUN_ID": "trial"}, "online"),
        (False, {"SWEEP_ID": "sweep", "RUN_ID": "trial", "MODE": "offline"}, "offline"),
        (False, {"SWEEP_ID": "sweep"}, "offline"),
    ],
)
def test_online_when_asked(online, environment, mode, monkeypatch):
    for key, value in environment.items():
        monkeypatch.setenv(f"WANDB_{key}", value)
    asked = {}
    monkeypatch.setattr(wandb, "init", lambda **settings: asked.update(settings) or Mock())
    monkeypatch.setattr("lit_gans.loggers.unreachable", lambda: None)
    log = WandbRun(".", name="run", config={}, online=online, project="lit-gans")
    assert log.experiment
    assert asked["mode"] == mode
    assert ({"id", "project"} <= asked.keys()) == ("SWEEP_ID" not in environment)


def test_a_mode_that_there_is_not(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "ofline")
    with pytest.raises(UserError, match="W&B: .*'online', 'offline'.* WANDB_"):
        _ = WandbRun(".", name="run", config={}).experiment


def test_what_lightning_takes_from_wandb_may_go(monkeypatch):
    """Names and arguments that Lightning's logger uses and W&B means to remove, or has renamed before."""
    init = wandb.init

    def later(*, anonymous=None, **settings):
        assert anonymous is None
        return init(**settings)

    monkeypatch.setattr(wandb, "init", later)
    for name in ("require", "_attach"):
        monkeypatch.delattr(wandb, name)
    for name in ("wandb.sdk.lib", "wandb.wandb_run"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    log = WandbRun(".", name="run", config={})
    for one in (pickle.loads(pickle.dumps(log)), log):
        one.log_metrics({"kimg": 1.0, "val/fid": 2.0}, step=1)
        one.finalize("success")


def test_numbers_are_read_back_exactly():
    for value in (0.1, 1 / 3, 1e-30, 12345.678, float("inf")):
        assert float(shortest(value)) == value
        assert np.float32(shortest(float(np.float32(value)))) == np.float32(value)
    assert shortest(float(np.float32(0.64))) == "0.64"


def test_curves_of_rows_with_gaps():
    rows = [{"kimg": "1", "val/fid": "3", "val/is": ""}, {"kimg": "2", "val/fid": "", "val/is": "2.5"}]
    panels = drawable(rows)
    assert list(panels.values()) == [["val/fid"], ["val/is"]]
    draw_curves(rows, panels, Path("curves.png"))
    assert Path("curves.png").read_bytes().startswith(b"\x89PNG")
    assert drawable([{"kimg": "1", "other": "1"}]) == {}


def test_curves_have_a_panel_where_there_is_accuracy():
    rows = [{"kimg": "1", "val/fid": "3", "val/label_accuracy": "0.1"}]
    assert ["val/label_accuracy"] in drawable(rows).values()
    assert ["val/label_accuracy"] not in drawable([{"kimg": "1", "val/fid": "3"}]).values()
