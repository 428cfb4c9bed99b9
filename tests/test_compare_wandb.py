import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lit_gans.comparison.groups import group_runs
from lit_gans.comparison.reading import read_runs
from lit_gans.comparison.wandb_file import BLOCK, payloads
from lit_gans.status import Status
from tests.compared import begin, end, only, read, row, write_wandb


def offline(runs):
    """W&B's folder of the first run, at a place of its own."""
    (found,) = runs.glob("default/gan-digits-s0-*/wandb")
    return Path(shutil.copytree(found, "alone/wandb", symlinks=True))


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
    assert problems == ["one tells no kimg: steps, in thousands, take the place"]
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
