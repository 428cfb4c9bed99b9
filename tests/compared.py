"""Runs to compare: real ones, made once, and written ones with the numbers that a test wants."""

import json
import shutil
from pathlib import Path
from zlib import crc32

import pytest
import yaml

from lit_gans.cli import main
from lit_gans.comparison.reading import read_runs
from tests.commands import SMALL

QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--data.batch_size=32"]


@pytest.fixture(scope="session")
def made_runs(tmp_path_factory):
    """Two seeds of one variant on the digits, the first interrupted and continued; not to be changed."""
    place = tmp_path_factory.mktemp("compare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIT_GANS_CACHE", str(place / "cache"))
        patch.chdir(place)
        main([*SMALL, *QUIET, "--trainer.max_steps=4"])
        main([*SMALL, *QUIET])
        main([*SMALL, *QUIET, "--seed_everything=1"])
    return place / "runs"


@pytest.fixture
def real_runs(made_runs):
    """A copy of the real runs, in `runs` of the current folder."""
    return Path(shutil.copytree(made_runs, "runs"))


def read(*paths):
    """The runs by name, and the problems."""
    runs, problems = read_runs(map(Path, paths))
    assert len({run.name for run in runs}) == len(runs)
    assert all("\n" not in problem for problem in problems)
    return {run.name: run for run in runs}, problems


def only(*paths):
    """The one run, and the problems."""
    runs, problems = read(*paths)
    (run,) = runs.values()
    return run, problems


def config(seed=0, loss="NonSaturating", data="Digits", **further):
    """What `config.yaml` of a run says, as far as it matters."""
    return {
        "seed_everything": seed,
        "trainer": {"precision": None, "limit_val_batches": 1.0},
        "model": {
            "class_path": "lit_gans.GAN",
            "init_args": {"loss": {"class_path": f"lit_gans.losses.{loss}"}, **further},
        },
        "data": {"class_path": f"datamodules.{data}", "init_args": {"batch_size": 8}},
        "metrics": {"n_fake": 50},
        "study": "default",
    }


def write_run(path, values=(), *, made=None, state="finished", protocol="aaaaaaaa", metric="val/fid", columns=None):
    """A run directory with these values of the metric, at 1, 2, ... kimg; `columns` are further ones."""
    path = Path(path)
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(yaml.safe_dump(made or config()))
    reason = "the weights are not finite" if state == "failed" else ""
    (path / "status.json").write_text(json.dumps({"state": state, "reason": reason, "length": {}}))
    columns = {"step": range(1, len(values) + 1), "kimg": range(1, len(values) + 1), metric: values} | (columns or {})
    lines = [columns, *zip(*columns.values(), strict=True)]
    (path / "metrics.csv").write_text("".join(f"{','.join(map(str, line))}\n" for line in lines))
    told = {"values": {metric: protocol}, "protocols": {protocol: {"features": "digits", "n_fake": 50}}}
    if protocol:
        (path / "protocols.json").write_text(json.dumps(told))
    return path


def write_wandb(folder, records, *, run="one", size=2**15):
    """A file as W&B writes it offline, of its messages; written after LevelDB's description of the format."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    out = bytearray(b":W&B\xe1\xbe\x00")
    for record in records:
        left, begun = record.SerializeToString(), False
        while left or not begun:
            room = size - len(out) % size
            if room < 7:
                out += bytes(room)
                continue
            piece, left = left[: room - 7], left[room - 7 :]
            kind = bytes([{(0, 0): 1, (0, 1): 2, (1, 1): 3, (1, 0): 4}[begun, bool(left)]])
            out += crc32(kind + piece).to_bytes(4, "little") + len(piece).to_bytes(2, "little") + kind + piece
            begun = True
    path = folder / f"run-{run}.wandb"
    path.write_bytes(out)
    return path


def begin(run="one", seconds=0, **told):
    """The message that begins a run of W&B, with its config."""
    from wandb.proto.wandb_internal_pb2 import Record

    record = Record()
    record.run.run_id, record.run.display_name = run, f"name of {run}"
    record.run.start_time.FromSeconds(1_700_000_000 + seconds)
    for key, value in told.items():
        record.run.config.update.add(key=key, value_json=json.dumps(value))
    return record


def row(**values):
    """The message of a logged row; `__` in a name stands for a dot, `_of_` for a slash."""
    from wandb.proto.wandb_internal_pb2 import Record

    record = Record()
    for key, value in values.items():
        item = record.history.item.add(value_json=json.dumps(value))
        item.nested_key.extend(key.replace("_of_", "/").split("__"))
    return record


def end(exit_code=0):
    """The last message of a run of W&B."""
    from wandb.proto.wandb_internal_pb2 import Record

    record = Record()
    record.exit.exit_code = exit_code
    return record
