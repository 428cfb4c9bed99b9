"""What a sweep proposes, and what it refuses, with a small program in place of a training."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from lit_gans.cli import main
from lit_gans.errors import UserError
from lit_gans.sweeps.file import read_sweep
from lit_gans.sweeps.trials import Trials
from lit_gans.verbs.sweep import run
from tests.commands import fails
from tests.sweeps import began, states, sweep_file, trials


def proposals(method, total, seed=0, share=1):
    """Parameters that are proposed one after another, by processes in turn, when trials end as they come."""
    parameters = {
        "a": {"min": 0.0, "max": 1.0},
        "b": {"min": 1, "max": 100},
        "c": {"values": ["u", "v"], **({"probabilities": [0.9, 0.1]} if method == "random" else {})},
    }
    sweep, _ = read_sweep(sweep_file([1], method=method, parameters=parameters, run_cap=total))
    name = f"{method}{seed}{share}{total}"
    found, all_of_them = [], [Trials(Path("runs") / name, sweep, total, seed) for _ in range(share)]
    for number in range(total):
        one = all_of_them[number % share]
        job = next(one.jobs())
        values = one.running[job.name].values
        one.run_dir(number).joinpath("metrics.csv").write_text(f"val/fid\n{abs(float(values['a']) - 0.3)}\n")
        one.end(job, 0)
        found.append(values)
    assert list(one.jobs()) == []
    return found


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_proposals_depend_on_the_seed_and_not_on_the_processes(method):
    first = proposals(method, 14)
    assert proposals(method, 14, share=5) == first
    assert len({json.dumps(one) for one in first}) == 14
    assert proposals(method, 14, seed=1) != first


def test_bayes_learns():
    """Its later proposals are nearer to the best than random ones, which are 0.29 from it on average."""
    late = [abs(float(one["a"]) - 0.3) for one in proposals("bayes", 40)[20:]]
    assert sum(late) / len(late) < 0.15


def test_bayes_leaves_the_places_where_trials_fail():
    """If it knew nothing of those that failed, all of its later proposals would."""
    sweep, _ = read_sweep(sweep_file([1], method="bayes", parameters={"a": {"min": 0.0, "max": 1.0}}, run_cap=40))
    one, failed = Trials(Path("runs/s"), sweep, 40), []
    for job in one.jobs():
        value = float(one.running[job.name].values["a"])
        failed.append(value > 0.5)
        one.run_dir(int(job.name)).joinpath("metrics.csv").write_text(
            f"val/fid\n{'nan' if failed[-1] else abs(value - 0.3)}\n"
        )
        one.end(job, 0)
    assert sum(failed[:10]) > 2
    assert [sum(trial.constraints.values()) > 0 for trial in one.study.get_trials()] == failed  # which TPE puts last
    assert sum(failed[20:]) < 10
    assert f"{40 - sum(failed)} complete, {sum(failed)} failed\n" in one.report()
    assert f"trial {failed.index(True)} failed: val/fid is nan\n" in one.report()


def test_probabilities_are_kept_to():
    sweep, _ = read_sweep(sweep_file({"values": ["u", "v", "w"], "probabilities": [0.7, 0.3, 0.0]}, method="random"))
    one = Trials(Path("runs/s"), sweep)
    drawn = Counter(one.fixed(number)["x"] for number in range(2000))
    assert abs(drawn["u"] - 1400) < 4 * (2000 * 0.7 * 0.3) ** 0.5
    assert drawn["w"] == 0


@pytest.mark.parametrize(("low", "high", "q"), [(0.2, 0.6, 0.1), (-32, 64, 32)])
def test_multiples_are_drawn_as_w_and_b_rounds(low, high, q):
    """Its documentation: round(X / q) * q with a uniform X, so that the ends come half as often as the others."""
    parameter = {"distribution": "q_uniform", "min": low, "max": high, "q": q}
    sweep, _ = read_sweep(sweep_file([1], method="random", parameters={"x": parameter}))
    one = Trials(Path("runs/s"), sweep)
    drawn = Counter(float(one.fixed(number)["x"]) for number in range(2000))
    exact = Counter((np.round(np.linspace(low, high, 2001)[:-1] / q) * q).round(9).tolist())
    assert stats.chisquare([drawn[value] for value in exact], list(exact.values())).pvalue > 1e-3
    assert drawn.keys() == exact.keys()
    job = next(one.jobs())
    assert f"--x={one.fixed(0)['x']}" in job.command


def test_options_of_all_trials_are_part_of_the_command(capsys):
    main(["sweep", "run", str(sweep_file([1, 2])), "--count=1", "--", "--y=a b", "--z"])
    assert f"{sys.executable} child.py --x=1 '--y=a b' --z\n" in capsys.readouterr().out
    refused = {
        "--x=3": "the command line may not have the option 'x', which each trial is given itself",
        "--run_dir=a": "the command line may not have the option 'run_dir'",
        "--config=a.yaml": "a --config after all options would undo them",
        "--y=c": "runs/s was begun with another command: go on with that",
    }
    for option, line in refused.items():
        assert line in fails(["sweep", "run", "s.yaml", "--", option], capsys)
    assert "runs/s was begun with another command" in fails(["sweep", "run", "s.yaml"], capsys)
    assert "begun with another command" in fails(["sweep", "run", "s.yaml", "--", "--y", "x", "config"], capsys)
    assert began() == ["0"]
    sweep_file([1], parameters={"model.loss.weight": {"values": [1, 2]}})
    for verb in ("run", "check"):  # it would forget the weight
        assert "may not have the option 'model.loss'" in fails(
            ["sweep", verb, "s.yaml", "--", "--model.loss=a"], capsys
        )


def test_a_search_without_end_is_refused():
    path = sweep_file([1, 2], method="random")
    with pytest.raises(UserError, match="random search has no end: give it run_cap, or --count"):
        run(path)
    assert not Path("runs").exists()
    run(path, count=1)
    assert len(trials()) == 1
    run(path, count=3)
    assert len(trials()) == 3


def test_another_file_of_the_same_name_is_refused():
    run(sweep_file([1, 2]), count=1)
    with pytest.raises(
        UserError, match=r"runs/s was begun with another parameters: go on with that, give the sweep another `name`"
    ):
        run(sweep_file([2, 1]))
    run(sweep_file([1, 2], run_cap=2, description="more"))
    assert states() == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("tail", ['{"op_code": 4, "wor', "nothing of ours\n", "\x00\n"])
def test_a_damaged_journal_is_told(tail):
    run(sweep_file([1]))
    with open("runs/s/sweep.journal", "a") as journal:
        journal.write(tail)
    with open("runs/s/sweep.journal", "a") as journal:
        journal.write('{"op_code": 0}\n')
    with pytest.raises(UserError, match="sweep.journal is damaged"):
        run(Path("s.yaml"))


def test_a_program_that_is_not_there(capsys):
    with pytest.raises(FileNotFoundError, match="no_such_program"):
        run(sweep_file([1], command=["no_such_program", "${args}"]))


def test_files_that_are_wrong_run_nothing():
    with pytest.raises(UserError, match=r"s.yaml: x: the value 1 .*; 1 more by `lit-gans sweep check s.yaml`"):
        run(sweep_file([1, 1], method="gird"))
    with pytest.raises(UserError, match="workers must be at least 1"):
        run(Path("s.yaml"), workers=0)
    assert not Path("runs").exists()


def test_without_a_metric_a_grid_is_run_all_the_same(capsys):
    sweep_file([1])
    tree = yaml.safe_load(Path("s.yaml").read_text())
    del tree["metric"]
    Path("s.yaml").write_text(yaml.safe_dump(tree))
    run(Path("s.yaml"))
    assert states() == ["COMPLETE"]
    printed = capsys.readouterr().out
    assert "the best" not in printed
    assert "\n1 trial of s: 1 complete\n" in printed
