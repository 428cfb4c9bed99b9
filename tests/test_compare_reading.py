import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lit_gans.comparison.groups import group_runs
from lit_gans.comparison.reading import read_runs
from lit_gans.comparison.wandb_file import BLOCK, payloads
from lit_gans.run import alone
from lit_gans.status import Status, write_status
from tests.compared import begin, config, end, row, write_run, write_wandb


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


def offline(runs):
    """W&B's folder of the first run, at a place of its own."""
    (found,) = runs.glob("default/gan-digits-s0-*/wandb")
    return Path(shutil.copytree(found, "alone/wandb"))


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
    segment, *_ = Path(f"runs/default/{first}").glob("wandb/*/*.wandb")
    for paths in (again, again[::-1], [f"runs/default/{first}/wandb", "runs"], [segment, "runs"]):
        found, problems = read(*paths)
        assert dict.fromkeys(found) == whole
        assert all(not run.path.name.endswith(".wandb") for run in found.values())
        assert problems == []


def test_wandb_alone_tells_the_same(real_runs):
    """Two segments of a run that was continued, against its CSV file, which has each step once."""
    folder = offline(real_runs)
    assert len(list(folder.glob("offline-run-*"))) == 2
    own = next(run for run in read_runs([real_runs])[0] if run.seed == 0)
    for paths in (["alone"], ["alone/wandb"], sorted(folder.glob("offline-run-*")), sorted(folder.glob("*/*.wandb"))):
        run, problems = only(*paths)
        assert problems == []
        assert (run.name, run.variant, run.dataset, run.seed, run.study) == (own.name, "gan", "digits", 0, "default")
        assert run.config == {**own.config, **{key: run.config[key] for key in ("trainer", "ckpt_path")}}
        assert run.columns.keys() == own.columns.keys()
        assert run.columns["kimg"].tolist() == own.columns["kimg"].tolist()
        for name, values in own.columns.items():
            assert run.columns[name] == pytest.approx(values, rel=1e-6, nan_ok=True)
        assert run.status == Status("finished")
        assert {name: made["hash"] for name, made in run.protocols.items()} == {
            name: made["hash"] for name, made in own.protocols.items()
        }
        assert [kimg for kimg, _ in run.pictures["samples"]] == [kimg for kimg, _ in own.pictures["samples"]]
        for (_, mine), (_, its) in zip(run.pictures["samples"], own.pictures["samples"], strict=True):
            assert mine.read_bytes() == its.read_bytes()
    (other,) = Path("runs/default").glob("gan-digits-s1-*")
    (group,) = group_runs(read_runs([Path("alone"), other])[0])
    assert [run.seed for run in group.runs] == [0, 1]


def test_wandbs_own_reader_agrees(real_runs):
    path = sorted(offline(real_runs).glob("*/*.wandb"))[0]
    run, _ = only(path)
    shown = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", path.parent], capture_output=True, check=True
    ).stdout
    records = [json.loads(line) for line in shown.splitlines()]
    assert len(records) == len(list(payloads(path)))
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    for name in ("val/fid", "discriminator/adversarial", "cost/hours"):
        assert run.series(name, "step")[1].tolist() == [one[name] for one in rows if name in one]
    (told,) = (record["run"]["config"]["update"] for record in records if record["type"] == "run")
    assert run.config == {key: told[key] for key in run.config}


def test_a_file_of_wandb_is_read_as_far_as_it_goes(real_runs):
    path = sorted(offline(real_runs).glob("*/*.wandb"))[0]
    whole, content = only(path)[0], path.read_bytes()
    ends, place = [], 7
    for payload in payloads(path):
        place += len(payload) + 7
        ends.append(place)
    assert ends[-1] == len(content) < BLOCK
    lengths = set()
    for cut in sorted({0, 3, 7, 8, 13, 14, len(content) - 1, *range(20, len(content), 331), *ends[:-1]}):
        path.write_bytes(content[:cut])
        runs, problems = read(path)
        between = cut in ends
        if cut < 7 or cut == 7:
            assert runs == {}
            assert ("has a header only" in problems[0]) == (cut == 7)
        elif not between:
            assert f"{path} ends in the midst of a record" in problems[0]
        for run in runs.values():
            assert run.status.state == "stopped"
            lost = len(whole.columns["kimg"]) - len(run.columns.get("kimg", ()))
            lengths.add(lost)
            for name, values in run.columns.items():
                assert values == pytest.approx(whole.columns[name][: len(values)], nan_ok=True)
    assert lengths == set(range(len(whole.columns["kimg"]) + 1))
    damaged = bytearray(content)
    damaged[ends[-1] - 20] ^= 1
    path.write_bytes(damaged)
    run, problems = only(path)
    assert "is damaged at byte" in problems[0]
    assert run.status.state == "stopped"
    path.write_bytes(b"text" + content)
    assert read(path) == ({}, [f"{path} is no file of W&B"])


def test_records_of_several_blocks_and_padding():
    """Against files that are written after the format's description, with records that end 0 to 14 bytes before one."""
    for spare in range(15):
        fill = begin(variant="a", note="")
        fill = begin(variant="a", note="x" * (BLOCK - 7 - 7 - len(fill.SerializeToString()) - 2 - spare))
        rows = [row(kimg=1, val_of_fid=3.5), row(kimg=2, text="y" * (2 * BLOCK)), row(kimg=3, val_of_fid=2.5), end()]
        run, problems = only(write_wandb(f"w{spare}", [fill, *rows]))
        assert problems == []
        assert [one.tolist() for one in run.series("val/fid")] == [[1, 3], [3.5, 2.5]]
        assert run.status.state == "finished"


def test_a_later_part_drops_what_the_earlier_one_did_after_its_checkpoint():
    values = {"kimg": [1, 2, 3, 4], "then": [3, 4, 5]}
    first = [row(kimg=kimg, val_of_fid=10 * kimg) for kimg in values["kimg"]]
    later = [row(kimg=kimg, val_of_fid=kimg) for kimg in values["then"]]
    write_wandb("w/offline-run-20260102_000000-one", [begin(seconds=9, lr=1, x={"y": 1}), *later, end()])
    write_wandb("w/offline-run-20260101_000000-one", [begin(lr=2, **{"x": {"y": 1}, "old": 1}), *first])
    run, problems = only("w")
    assert problems == []
    assert [one.tolist() for one in run.series("val/fid")] == [[1, 2, 3, 4, 5], [10, 20, 3, 4, 5]]
    assert run.config == {"lr": 1, "x": {"y": 1}, "old": 1}
    assert run.status == Status("finished")
    shutil.rmtree("w/offline-run-20260101_000000-one")
    write_wandb("w/offline-run-20260103_000000-one", [])
    run, problems = only("w")
    assert run.series("val/fid")[0].tolist() == [3, 4, 5]
    assert run.status.state == "stopped"
    assert re.search("20260103.*has a header only", problems[0])


def test_a_run_of_wandb_without_our_config():
    (Path("w/files/media")).mkdir(parents=True)
    for name in ("files/media/a.png", "files/media/b.png", "secret.png"):
        (Path("w") / name).write_bytes(b"picture")
    shown = [
        row(_step=0, loss=3.0, x___type="image-file", x__path="media/a.png", x__width=9),
        row(_step=1, x___type="images/separated", x__filenames=["media/b.png", "media/a.png"]),
        *(row(_step=2, x___type="image-file", x__path=path) for path in ("../secret.png", "/etc/passwd", 3, "media")),
        row(_step=3, loss=1.0, flag=True, h___type="histogram", h__values=[1, 2]),
    ]
    told = {"variant": "mine", "dataset": "cats", "seed": 4, "lr": 0.1, "_wandb": {}}
    folder = Path(shutil.move(write_wandb("v", [begin(**told), *shown, end(3)]), "w")).parent
    run, problems = only(folder)
    assert problems == ["one tells no kimg: its steps, in thousands, take the place"]
    assert (run.variant, run.dataset, run.seed) == ("mine", "cats", 4)
    assert run.status == Status("failed", "W&B noted exit code 3")
    assert [one.tolist() for one in run.series("loss")] == [[0, 0.003], [3, 1]]
    assert run.columns.keys() == {"step", "loss", "kimg"}
    assert [(kimg, path.name) for kimg, path in run.pictures["x"]] == [(0, "a.png"), (0.001, "b.png")]
    nameless, _ = only(write_wandb("n", [begin(lr=1), row(kimg=1, loss=2)]))
    assert (nameless.variant, nameless.dataset, nameless.seed) == ("name of one", "", None)


@pytest.mark.parametrize("told", ["[" * 100_000, "[" * 5000 + "]" * 5000, "{", json.dumps({"a": [0] * 20_000})])
def test_a_hostile_config_of_wandb_is_left_out(told):
    first = begin(variant="a")
    first.run.config.update.add(key="x", value_json=told)
    run, problems = read(write_wandb("w", [first, row(kimg=1, loss=2), end()]))
    assert len(problems) >= 1
    assert all(one.config.get("x") is None for one in run.values())


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
    assert [problem.split(" tells no kimg")[0] for problem in problems] == ["version_0", "version_1"]
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
