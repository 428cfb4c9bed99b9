import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lit_gans.comparison.groups import group_runs
from lit_gans.run import alone
from lit_gans.status import Status, write_status
from tests.compared import config, only, read, write_run


def test_a_run_directory_is_read_from_its_own_files_and_once(real_runs):
    runs, problems = read("runs")
    assert problems == []
    assert [(run.variant, run.dataset, run.seed, run.study) for run in runs.values()] == [
        ("gan", "digits", 0, "default"),
        ("gan", "digits", 1, "default"),
    ]
    for name, run in runs.items():
        folder = real_runs / "default" / name
        with open(folder / "metrics.csv") as file:
            rows = list(csv.DictReader(file))
        assert run.columns.keys() == rows[0].keys()
        for column, values in run.columns.items():
            assert values.tolist() == pytest.approx([float(one[column] or "nan") for one in rows], nan_ok=True)
        assert run.series("val/fid")[0].tolist() == pytest.approx([0.096, 0.192])
        told = json.loads((folder / "protocols.json").read_text())
        made = run.protocols["val/fid"]
        assert made == {"hash": told["values"]["val/fid"], "protocol": told["protocols"][made["hash"]]}
        grids = [(float(path.stem.removeprefix("kimg-")), path) for path in sorted(folder.glob("samples/*.png"))]
        assert run.pictures == {"samples": grids}
        assert len(grids) >= 3
        assert run.status.state == "finished"
        assert run.config["seed_everything"] == run.seed
    os.symlink(Path("runs").resolve(), "linked")
    os.symlink(Path("runs").resolve(), "runs/itself")
    (first, _), whole = runs, dict.fromkeys(runs)
    again = ["runs", f"runs/default/{first}", "runs/default", "linked", f"runs/default/{first}/metrics.csv"]
    board = f"runs/default/{first}/tensorboard"
    segment, *_ = Path(f"runs/default/{first}").glob("wandb/*/*.wandb")
    for paths in (again, again[::-1], [f"runs/default/{first}/wandb", "runs"], [board, segment, "runs"]):
        found, problems = read(*paths)
        assert dict.fromkeys(found) == whole
        assert all(not run.path.name.endswith(".wandb") for run in found.values())
        assert problems == []


def test_rows_of_lightnings_loggers():
    for version in range(2):
        logger = CSVLogger("logs", name="mine", version=version)
        for step in range(3):
            logger.log_metrics({"loss": 1 / (step + 1)} | ({"val/fid": 9.0 - step} if step else {}), step)
        logger.save()
    board = TensorBoardLogger("boards", name="gan-digits-s3-0123abcd", version="tensorboard")
    for step in range(40):
        board.log_metrics({"val/fid": 9.0 - step, "kimg": 0.064 * step}, step)
    board.finalize("success")
    runs, problems = read("logs", "boards")
    assert sorted(runs) == ["gan-digits-s3-0123abcd", "version_0", "version_1"]
    assert problems == ["version_0 and 1 more tell no kimg: steps, in thousands, take the place"]
    for version in range(2):
        run = runs[f"version_{version}"]
        assert [one.tolist() for one in run.series("val/fid")] == [[0.001, 0.002], [8, 7]]
        assert run.variant == run.name
    run = runs["gan-digits-s3-0123abcd"]
    assert (run.variant, run.dataset, run.seed, run.config) == ("gan", "digits", 3, {})
    assert run.series("val/fid")[0].tolist() == pytest.approx([0.064 * step for step in range(40)], abs=1e-12)
    assert run.series("val/fid")[1].tolist() == [9.0 - step for step in range(40)]
    (events,) = Path("boards").rglob("events*")
    events.write_bytes(events.read_bytes()[:-700])
    torn = read(events)[0][run.name]
    assert 0 < len(torn.series("val/fid")[0]) < 40


def test_seeds_of_other_projects():
    """By Lightning's hyperparameters, or by the name; versions of which neither is known stay apart."""
    told = {"logs/a/version_0": {"lr": 1, "seed": 3}, "logs/a/version_1": {"lr": 1, "seed": 4}}
    told |= {"logs/a/version_2": {"lr": 2}, "logs/b/version_0": {}, "logs/b/version_1": {}}
    told |= {"logs/dcgan-seed7": {}, "logs/dcgan_seed8": {}, "logs/dcgan/seed_9": {"lr": 1}}
    for place, known in told.items():
        folder, name = place.rsplit("/", 1)
        logger = CSVLogger(folder, name="", version=name)
        logger.log_hyperparams(known)
        logger.log_metrics({"val/fid": 9.0, "kimg": 1})
        logger.save()
    strange = {"torn": "!!python/object/apply:os.system ['touch made']", "dated": "start: 2024-01-01"}
    for name, text in (strange | {"knot": "a: &x [*x]", "birdseed2": "a: b: c"}).items():
        folder = Path("logs") / name
        folder.mkdir()
        (folder / "metrics.csv").write_text("kimg,val/fid\n1,2\n")
        (folder / "hparams.yaml").write_text(text + "\n")
    runs, problems = read("logs")
    told = "/hparams.yaml cannot be read, or has more than plain values: its hyperparameters are unknown"
    assert problems == [f"logs/{name}{told}" for name in ("birdseed2", "dated", "knot", "torn")]
    assert not Path("made").exists()
    found = {run.path.as_posix(): (run.variant, run.seed) for run in runs.values()}
    assert found == {
        "logs/a/version_0": ("a", 3),
        "logs/a/version_1": ("a", 4),
        "logs/a/version_2": ("a", None),
        "logs/b/version_0": ("b/version_0", None),
        "logs/b/version_1": ("b/version_1", None),
        "logs/dcgan-seed7": ("dcgan", 7),
        "logs/dcgan_seed8": ("dcgan", 8),
        "logs/dcgan/seed_9": ("dcgan", 9),
        **{f"logs/{name}": (name, None) for name in ("torn", "dated", "knot", "birdseed2")},
    }
    assert {run.status.reason for run in runs.values()} == {"its logs don't tell whether it ended"}
    labels = [(one.label, len(one.runs)) for one in group_runs(list(runs.values()))]
    assert {("a lr=1", 2), ("dcgan", 2)} <= set(labels)


def test_the_last_line_may_be_half_written():
    folder = write_run("run", [3, 2])
    with open(folder / "metrics.csv", "a") as file:
        file.write("3,3.0,1")
    assert only("run")[0].series("val/fid")[1].tolist() == [3, 2]
    with open(folder / "metrics.csv", "a") as file:
        file.write(".5\n4,4,nan\n5,5,inf\n6,6,text\n")
    assert only("run")[0].series("val/fid")[1].tolist() == [3, 2, 1.5]


def test_states():
    for name, state in {"a": "finished", "b": "failed", "c": "running"}.items():
        write_run(f"runs/{name}", [1], state=state)
    (Path("runs/d")).mkdir()
    shutil.copy("runs/a/config.yaml", "runs/d")
    runs, problems = read("runs")
    assert {name: run.status.state for name, run in runs.items()} == {
        "a": "finished",
        "b": "failed",
        "c": "stopped",
        "d": "stopped",
    }
    assert runs["b"].status.reason == "the weights are not finite"
    assert "killed" in runs["c"].status.reason
    assert problems == ["d has no rows"]
    with alone(Path("runs/d")):
        write_status(Path("runs/d"), Status("running"))
        runs, problems = read("runs")
        assert runs["d"].status.state == "running"
        assert problems == ["d has no rows yet"]


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))


@pytest.mark.parametrize("text", ["", "\x00", "text", "[" * 2_000, "model: {class_path: [1]}", "seed_everything: [1]"])
def test_a_config_of_others_is_none_and_the_numbers_are_shown(text):
    refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "more: !!python/object/apply:os.mkdir [hacked]",
        "more: " + "[" * 100 + "]" * 100,
        "more: &more [*more]",
        "more: '" + "y" * 70_000 + "'",
        "more: [" + "0, " * 20_000 + "]",
        "more: 2020-01-01",
        "1: 2",
        BOMB,
    ],
)
def test_nothing_is_hidden_in_a_config(text):
    refused(yaml.safe_dump(config()) + text)


def refused(text):
    """What else is told of a run with this config."""
    folder = write_run("gan-digits-s3-0123abcd", [3, 2])
    (folder / "config.yaml").write_text(text)
    run, problems = only(folder)
    assert "config.yaml is not of ours" in problems[0]
    assert run.config == {}
    assert (run.variant, run.dataset, run.seed) == ("gan", "digits", 3)
    assert run.series("val/fid")[1].tolist() == [3, 2]
    assert not Path("hacked").exists()


def test_other_damaged_files_of_a_run():
    folder = write_run("run", [3, 2])
    for content in (b"{", b"[]", b"\xff", b'{"values": {"val/fid": 3}, "protocols": 7}', b"[" * 100_000):
        (folder / "protocols.json").write_bytes(content)
        run, problems = only("run")
        assert run.protocols == {}
        assert problems == ["run/protocols.json cannot be read: how the numbers were made is unknown"]
    (folder / "protocols.json").unlink()
    for content in (b"\xff\xfe", b'"' + b"x" * 200_000 + b"\n"):
        (folder / "metrics.csv").write_bytes(content)
        run, problems = only("run")
        assert run.columns == {}
        assert problems[0].startswith("run/metrics.csv cannot be read")
        assert problems[1] == "run has no rows"
    (folder / "metrics.csv").write_bytes(b"")
    assert only("run")[1] == ["run has no rows"]
    (folder / "metrics.csv").write_bytes(b"a,b\n\x00,1\n,2,3\n4\n")
    assert np.isnan(only("run")[0].columns["b"]).tolist() == [False, False, True]


def test_what_is_no_run():
    Path("empty").mkdir()
    Path("note.txt").write_text("")
    assert read("empty", "gone", "note.txt", "metrics.csv") == (
        {},
        ["there is no gone", "note.txt is no run", "there is no metrics.csv"],
    )


def test_runs_of_one_name_are_told_apart_by_their_places():
    for study in ("one", "two"):
        write_run(f"runs/{study}/gan-digits-s0-0123abcd", [1], made=config())
    write_run("runs/two/other", [1])
    runs, _ = read("runs")
    assert sorted(runs) == ["one/gan-digits-s0-0123abcd", "other", "two/gan-digits-s0-0123abcd"]
