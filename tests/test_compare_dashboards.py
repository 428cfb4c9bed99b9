"""Dashboards of W&B: what is in them, and that its real client saves them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lit_gans.cli import main
from lit_gans.comparison.groups import group_runs
from lit_gans.comparison.reading import read_runs
from lit_gans.comparison.workspace import as_json, dashboards, report, workspace
from lit_gans.errors import UserError
from tests.compared import config, write_run

pytest_plugins = ["tests.wandb_server"]


def groups(*, lr=(1e-4,), data=("Digits",), losses=("Hinge", "Minimax"), variant=None):
    """Groups of runs of two seeds, read from directories."""
    for seed in (0, 1):
        for rate in lr:
            for name in data:
                for loss in losses:
                    made = config(seed, loss, name, generator_lr=rate) | {"label": variant or loss.lower()}
                    columns = {"best/fid": [3, 2.5], "val/is": [1, 2]}
                    write_run(f"runs/{loss}-{name}-{rate}-{seed}", [3, 2.5], made=made, columns=columns)
    return group_runs(read_runs([Path("runs")])[0])


def board(build, *arguments, metric="val/fid", mode="min"):
    return json.loads(as_json(build(*arguments, metric, mode, "someone", "lit-gans")))


def panels(found):
    """Type and config of each panel of a workspace, by section."""
    bank = found["spec"]["section"]["panelBankConfig"]["sections"]
    return {one["name"]: [(panel["viewType"], panel["config"]) for panel in one["panels"]] for one in bank}


def grouping(run_set):
    return [key["name"] for key in run_set["grouping"]]


def test_a_workspace_of_variants():
    found = board(workspace, groups())
    shown = panels(found)
    (curves, over_kimg), (bars, best), (scatter, against) = shown["Quality"]
    assert (curves, bars, scatter) == ("Run History Line Plot", "Bar Chart", "Scatter Plot")
    assert (over_kimg["xAxis"], over_kimg["metrics"], over_kimg["yLogScale"]) == ("kimg", ["val/fid"], True)
    assert over_kimg["groupBy"] == best["groupBy"] == "variant.value"
    assert (over_kimg["groupAgg"], over_kimg["groupArea"]) == ("mean", "stddev")
    assert best["metrics"] == ["summary_metrics.best/fid"]
    assert (against["xAxis"], against["yAxis"]) == ("summary:val/fid", "summary:val/is")
    ((media, grid),) = shown["Samples"]
    assert (media, grid["mediaKeys"]) == ("Media Browser", ["samples"])
    (parallel, lines), (importance, target), _ = shown["What matters"]
    assert (parallel, importance) == ("Parallel Coordinates Plot", "Parameter Importance")
    assert [column["accessor"] for column in lines["columns"]] == [
        "config:variant.value",
        "config:model.value.init_args.loss.class_path",
        "summary:best/fid",
    ]
    assert target["targetKey"] == "best/fid"

    (run_set,) = found["spec"]["section"]["runSets"]
    filters = {one["key"]["name"]: one["value"] for one in run_set["filters"]["filters"]}
    assert filters == {"study": ["default"], "dataset": ["digits"]}
    assert grouping(run_set) == ["variant.value"]
    assert run_set["sort"]["keys"] == [{"key": {"section": "summary", "name": "best/fid"}, "ascending": True}]
    assert {"summary:best/fid", "config:variant", "config:seed"} <= run_set["runFeed"]["columnPinned"].keys()


def test_variants_of_one_name_are_told_apart_by_their_options():
    found = board(workspace, groups(lr=(1e-4, 1e-3), variant="gan"))
    options = ["model.value.init_args.generator_lr", "model.value.init_args.loss.class_path"]
    assert sorted(grouping(found["spec"]["section"]["runSets"][0])) == sorted(["variant.value", *options])
    shown = panels(found)
    assert "groupBy" not in shown["Quality"][0][1]  # but as the table
    columns = {column["accessor"]: column.get("log") for column in shown["What matters"][0][1]["columns"]}
    assert columns[f"config:{options[0]}"] is True
    assert not columns[f"config:{options[1]}"]


def test_what_is_in_a_list_is_told_by_the_list():
    for weight in (0.1, 1.0):
        penalty = {"class_path": "lit_gans.penalties.R1", "init_args": {"weight": weight}}
        write_run(f"runs/{weight}", [3], made=config(penalties=[penalty]))
    found = board(workspace, group_runs(read_runs([Path("runs")])[0]))
    assert "model.value.init_args.penalties" in grouping(found["spec"]["section"]["runSets"][0])


def test_a_report_has_a_chapter_for_each_dataset():
    both = groups(data=("Digits", "MNIST"))
    blocks = board(report, both)["spec"]["blocks"]
    assert "running and failed ones too" in json.dumps(blocks[:3])
    chapters = [block["children"][0]["text"] for block in blocks if block.get("level") == 1]
    assert chapters == ["digits", "mnist"]
    grids = [block["metadata"] for block in blocks if block["type"] == "panel-grid"]
    assert len(grids) == 10
    for grid in grids:
        (run_set,) = grid["runSets"]
        filters = {one["key"]["name"]: one["value"] for one in run_set["filters"]["filters"]}
        assert filters == {"study": ["default"], "dataset": [run_set["name"]]}
        assert grouping(run_set) == ["variant.value"]
    assert grouping(board(workspace, both)["spec"]["section"]["runSets"][0]) == ["dataset.value", "variant.value"]


def test_more_is_better():
    found = board(workspace, groups(), metric="val/is", mode="max")
    quality = panels(found)["Quality"]
    assert [kind for kind, _ in quality] == ["Run History Line Plot", "Bar Chart"]
    assert not quality[0][1]["yLogScale"]
    assert quality[1][1]["metrics"] == ["summary_metrics.val/is"]
    assert found["spec"]["section"]["runSets"][0]["sort"]["keys"][0]["ascending"] is False


def test_files_for_who_is_not_logged_in(wandb_server, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    texts = []
    for _ in range(2):
        said = dashboards(groups() if not texts else group_runs(read_runs([Path("runs")])[0]), folder=Path("out"))
        texts.append([Path(f"out/{name}.json").read_text() for name in ("workspace", "report")])
    assert [line.partition(" (")[0] for line in said] == [f"{one}: out/{one}.json" for one in ("workspace", "report")]
    assert texts[0] == texts[1]
    assert not wandb_server.views


def test_saved_for_who_is_logged_in(wandb_server):
    said = dashboards(groups())
    assert all(f"{wandb_server.url}/someone/lit-gans" in line for line in said), said
    made = {view["type"]: view for view in wandb_server.views.values()}
    assert {kind: view["displayName"] for kind, view in made.items()} == {
        "project-view": "Variants by val fid",
        "runs": "Variants by val fid",
    }
    assert "Quality" in json.dumps(made["runs"]["spec"])
    assert not Path("workspace.json").exists()


def test_a_server_that_refuses_dashboards(wandb_server):
    wandb_server.refused = {"UpsertView2"}
    with pytest.raises(UserError, match="permission denied"):
        dashboards(groups())


def test_a_server_that_is_not_there(wandb_server, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.warns(UserWarning, match="W&B server 127.0.0.1 cannot be reached"):
        dashboards(groups())
    assert Path("workspace.json").exists()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("", "assert not {'torch', 'lightning'} & sys.modules.keys()", ""),
        ("sys.modules['wandb_workspaces'] = None", "", 'pip install "lit-gans[dashboards]"'),
    ],
)
def test_needs_no_torch_but_the_extra(before, after, said):
    code = f"import sys; {before}\nimport lit_gans.comparison.workspace; {after}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True
    )
    assert done.stderr.strip().endswith(said)
    assert (done.returncode == 0) == (not said)


def test_compare_makes_them(wandb_server, real_runs, capsys):
    main(["compare", "runs", "--wandb"])
    assert f"workspace: {wandb_server.url}/someone/lit-gans" in capsys.readouterr().out
    assert {view["type"] for view in wandb_server.views.values()} == {"project-view", "runs"}
