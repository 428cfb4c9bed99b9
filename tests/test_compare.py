"""`lit-gans compare`, on runs that `lit-gans fit` made."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lit_gans.cli import main
from tests.commands import fails
from tests.compared import config, write_run


def compare(*arguments):
    main(["compare", *map(str, arguments)])


def test_real_runs_side_by_side(real_runs, capsys):
    last = []
    for path in sorted(real_runs.glob("*/*/metrics.csv")):
        with open(path) as file:
            last.append([float(row["val/fid"]) for row in csv.DictReader(file) if row["val/fid"]][-1])
    compare("runs", "--output=a/table.json")
    said = capsys.readouterr()
    assert said.err == ""
    assert "50 fakes, 50 reals (train) of digits at 8x8, by digits" in said.out
    assert said.out.splitlines()[-1] == "written: a/table.json"
    (table,) = json.loads(Path("a/table.json").read_text())["tables"]
    (one,) = table["variants"]
    assert one["last"] == pytest.approx(np.mean(last))
    assert [(run["seed"], run["last"]) for run in one["runs"]] == [(0, last[0]), (1, last[1])]
    assert (one["variant"], one["seeds"], one["finished"]) == ("gan", 2, 2)
    first, second = sorted(Path("runs/default").iterdir())
    compare(first, second, "--output=b.json")
    assert Path("b.json").read_text() == Path("a/table.json").read_text()
    Path("offline").mkdir()
    shutil.move(first / "wandb", "offline")
    compare("offline", second, "--output=c.json")
    (table,) = json.loads(Path("c.json").read_text())["tables"]
    assert table["variants"][0]["last"] == pytest.approx(np.mean(last))
    assert table["variants"][0]["seeds"] == 2


def test_neither_torch_nor_lightning_nor_wandb_is_needed(real_runs):
    code = (
        "import sys; from lit_gans.cli import main\n"
        "main(['compare', 'runs', '--output=t.md'])\n"
        "try: main(['compare', 'gone'])\nexcept SystemExit as left: assert 'there is no gone' in left.code\n"
        "else: raise AssertionError\n"
        "assert not {'torch', 'lightning', 'wandb', 'tensorboard'} & sys.modules.keys()"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)


def test_tables_in_files(capsys):
    for seed, values in enumerate(([9, 3], [9, 4], [8, 5])):
        write_run(f"runs/{seed}", values, made=config(seed))
        write_run(f"runs/h{seed}", [value + 3 for value in values], made=config(seed, "Hinge"))
    for ending in ("csv", "md", "json"):
        compare("runs", f"--output=t.{ending}")
    rows = list(csv.DictReader(Path("t.csv").read_text().splitlines()))
    assert [(row["variant"], float(row["last"])) for row in rows] == [
        ("gan loss=NonSaturating", 4),
        ("gan loss=Hinge", 7),
    ]
    assert "| 1 | gan loss=NonSaturating | 4.0 ± 2.5 |" in Path("t.md").read_text()
    assert capsys.readouterr().out.count("gan loss=Hinge") == 3
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_which_side_is_better(capsys):
    for name, loss, score in (("a", "Hinge", 3), ("b", "Minimax", 5)):
        for seed in range(2):
            write_run(f"runs/{name}{seed}", [score + seed / 99], made=config(seed, loss), metric="val/is")
    for options, first in (([], "Minimax"), (["--mode=min"], "Hinge"), (["--mode=max"], "Minimax")):
        compare("runs", "--metric=val/is", *options)
        said = capsys.readouterr().out.splitlines()
        assert said[3].split()[2] == f"loss={first}"
    write_run("others", [3], metric="score")
    with pytest.warns(UserWarning, match="whether less or more of score is better is not known: less is assumed"):
        compare("others", "--metric=score")


def test_the_page_gets_what_the_table_has(monkeypatch, real_runs):
    got = []
    page = type(sys)("lit_gans.comparison.page")
    page.write_page = lambda *arguments, **options: got.append((arguments, options))
    monkeypatch.setitem(sys.modules, "lit_gans.comparison.page", page)
    Path("runs/torn.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    with pytest.warns(UserWarning, match="torn.wandb has a header only"):
        compare("runs", "runs/torn.wandb", "--output=page.html")
    ((path, groups, summaries, problems), options) = got[0]
    assert path == Path("page.html")
    assert [one.group for one in summaries] == groups
    assert "torn.wandb" in problems[0]
    assert options == {"metric": "val/fid", "mode": "min"}


def test_what_is_wrong_is_said_and_the_rest_is_shown(capsys):
    write_run("runs/good", [3, 2])
    write_run("runs/silent", [3, 2], made=config(1), metric="val/is")
    write_run("runs/burst", [3], made=config(2), state="failed")
    write_run("runs/unlike", [3, 2], made=config(3), protocol="bbbbbbbb")
    (write_run("runs/foreign", [7]) / "config.yaml").write_text("lr: 1")
    with pytest.warns(UserWarning, match="silent has no val/fid") as told:
        compare("runs", "--output=t.json")
    said = [str(one.message) for one in told]
    assert json.loads(Path("t.json").read_text())["problems"] == said
    for words in (
        "burst failed: the weights are",
        "made in 2 ways",
        "foreign/config.yaml is not",
    ):
        assert any(words in line for line in said)
    assert capsys.readouterr().out.count("val/fid (less is better)") == 3


def test_what_leaves_nothing_to_compare(capsys):
    Path("empty").mkdir()
    Path("note.txt").write_text("x")
    Path("head.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    write_run("runs/a", [1, 2])
    write_run("new/a")
    assert "nothing at or below empty is one" in fails(["compare", "empty"], capsys)
    assert "there is no gone; note.txt is no run" in fails(["compare", "gone", "note.txt"], capsys)
    assert "head.wandb has a header only" in fails(["compare", "head.wandb"], capsys)
    assert "none of 1 runs has val/fidd; did you mean val/fid?" in fails(
        ["compare", "runs", "--metric=val/fidd"], capsys
    )
    assert "none of 1 runs has val/fid (nothing was logged yet)" in fails(["compare", "new"], capsys)
    assert ".csv, .json, .md, .html" in fails(["compare", "runs", "--output=t.pdf"], capsys)
    assert "paths is required" in fails(["compare"], capsys)
    assert "did you mean --metric?" in fails(["compare", "runs", "--metrik=x"], capsys)
    assert "mode: Expected a ['auto', 'min', 'max']" in fails(["compare", "runs", "--mode=best"], capsys)
    assert not list(Path().glob("t.*"))


def test_no_finished_run_is_no_mistake(capsys):
    write_run("runs/a", [3, 2], state="failed")
    with pytest.warns(UserWarning, match="no finished run with val/fid yet"):
        compare("runs")
    assert "1 failed" in capsys.readouterr().out
