"""What a sweep file says, and what is refused in it."""

import math
import sys
from collections import Counter
from pathlib import Path

import optuna
import pytest
import yaml
from scipy import stats

from lit_gans.errors import UserError
from lit_gans.sweeps.file import read_sweep
from lit_gans.sweeps.halving import Halving
from lit_gans.sweeps.space import Refused, parameter

optuna.logging.set_verbosity(optuna.logging.WARNING)
DRAWS = 3000


def sweep_file(*, parameters=None, **keys):
    """A file that is right but for what is given."""
    tree = {
        "method": "grid",
        "metric": {"name": "best/fid", "goal": "minimize"},
        "command": ["lit-gans", "fit", "${args}"],
        "parameters": {"a": {"values": [1, 2]}} if parameters is None else parameters,
    }
    path = Path("sweep.yaml")
    path.write_text(
        yaml.safe_dump({key: value for key, value in (tree | keys).items() if value is not None}, sort_keys=False)
    )
    return path


def read(**keys):
    sweep, findings = read_sweep(sweep_file(**keys))
    assert findings == []
    return sweep


def lines(**keys):
    sweep, findings = read_sweep(sweep_file(**keys))
    assert (sweep is None) == bool(findings)
    return [str(one) for one in findings]


def draws(given):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    one = parameter(given)
    return [one.suggest(study.ask(), "x") for _ in range(DRAWS)]


@pytest.mark.parametrize(
    ("given", "distribution"),
    [
        ({"min": -1.0, "max": 3.0}, stats.uniform(-1, 4)),
        ({"min": 2, "max": 5, "distribution": "uniform"}, stats.uniform(2, 3)),
        ({"min": 1.0e-5, "max": 1.0e-1, "distribution": "log_uniform_values"}, stats.loguniform(1e-5, 1e-1)),
    ],
)
def test_real_ranges_against_their_cdf(given, distribution):
    values = [float(text) for text in draws(given)]
    assert given["min"] <= min(values) <= max(values) <= given["max"]
    assert stats.kstest(values, distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"min": 1, "max": 4}, "1 2 3 4"),
        ({"min": 1, "max": 3, "distribution": "int_uniform"}, "1 2 3"),
        ({"min": 32, "max": 128, "q": 32, "distribution": "q_uniform"}, "32 64 96 128"),
        ({"min": 2, "max": 4, "distribution": "q_uniform"}, "2 3 4"),
        ({"min": 0.0, "max": 0.3, "q": 0.1, "distribution": "q_uniform"}, "0.0 0.1 0.2 0.3"),
        ({"values": ["a", True, 1, 1.0, None]}, "a True 1 1.0 None"),
        ({"values": ["[R1]", [0.5, 0.9]], "distribution": "categorical"}, "[R1];[0.5, 0.9]"),
        ({"value": 3}, "3"),
        ({"value": "x", "distribution": "constant"}, "x"),
    ],
)
def test_what_can_be_counted_is_drawn_evenly_and_is_the_grid(given, expected):
    expected = expected.split(";" if ";" in expected else " ")
    assert parameter(given).grid == expected
    counts = Counter(draws(given))
    assert set(counts) == set(expected)
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3 or len(counts) == 1


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (3, "give it `value`"),
        ({}, "give it `value`"),
        ({"max": 3}, "give it `value`"),
        ({"parameters": {"b": {"value": 1}}}, "flat ones with dotted names"),
        ({"values": ["1e-5", 1]}, "reads the value '1e-5' as text: write 1.0e-5"),
        ({"values": ["2e3"]}, r"write 2.0e\+3"),
        ({"values": ["0.5"]}, "write 0.5, without quotes"),
        ({"min": "1e-5", "max": 1}, "reads min '1e-5' as text"),
        ({"min": 0, "max": 1.0}, "both as whole numbers, or both with a point"),
        ({"min": 2, "max": 2}, "min must be below max"),
        ({"min": 0.0, "max": math.inf}, "max must be a number, not inf"),
        ({"min": math.nan, "max": 1.0}, "min must be a number, not nan"),
        ({"min": True, "max": 3}, "min must be a number, not True"),
        ({"values": []}, "must be a list"),
        ({"values": "abc"}, "must be a list"),
        ({"values": [1, 1]}, "the value 1 stands there more than once"),
        ({"values": [1, 2], "probabilities": [0.5]}, "as many probabilities"),
        ({"values": [1, 2], "probabilities": [0.5, 0.6]}, "add up to 1"),
        ({"values": [1, 2], "probabilities": [-1, 2]}, "add up to 1"),
        ({"values": [1], "min": 0}, "unexpected keyword argument 'min'"),
        ({"min": 1.0, "max": 2.0, "distribution": "int_uniform"}, "are whole numbers"),
        ({"min": 0.0, "max": 2.0, "distribution": "log_uniform_values"}, "must be above 0"),
        ({"min": -9, "max": 0, "distribution": "log_uniform"}, "are exponents of e: use log_uniform_values"),
        ({"min": 0.5, "max": 9.0, "distribution": "q_uniform"}, "multiples of q, and 0.5 is none of 1"),
        ({"max": 9, "distribution": "q_uniform"}, "missing a required argument: 'min'"),
        ({"min": 1, "max": 9, "q": 2, "distribution": "q_uniform"}, "multiples of q, and 1 is none of 2"),
        ({"min": 0, "max": 9, "q": 0, "distribution": "q_uniform"}, "q must be above 0"),
        ({"mu": 0, "sigma": 1, "distribution": "normal"}, "'normal' cannot be had without W&B's server: use constant"),
        ({"value": 1, "distribution": "unifrom"}, "'unifrom' cannot be had"),
        ({"value": 1, "distribution": ["uniform"]}, "cannot be had"),
    ],
)
def test_parameters_that_are_refused(given, line):
    with pytest.raises(Refused, match=line):
        parameter(given)


def test_a_grid_is_every_combination_once_the_last_parameter_fastest():
    sweep = read(parameters={"b": {"values": ["x", "y"]}, "a": {"min": 1, "max": 3}, "c": {"value": 0}})
    grid = list(sweep.grid)
    assert [f"{one['b']}{one['a']}{one['c']}" for one in grid] == ["x10", "x20", "x30", "y10", "y20", "y30"]
    assert sweep.size == 6
    assert [sweep.point(k) for k in range(6)] == grid


def test_the_command_of_a_trial(monkeypatch):
    monkeypatch.setenv("WHERE", "here")
    words = ["${env}", "${interpreter}", "${program}", "--at=${envvar:WHERE}", 3, "${args}", "${envvar:NOWHERE}"]
    sweep = read(command=words, program="train.py", parameters={"model.b.c": {"value": 1}, "model.b": {"value": "x y"}})
    values = {"model.b.c": "1", "model.b": "x y"}
    expected = [sys.executable, "train.py", "--at=here", "3", "--model.b=x y", "--model.b.c=1", "NOWHERE"]
    assert sweep.arguments(values) == expected
    assert sweep.fit_arguments(values) is None
    fits = ["lit-gans", "fit", "--online", "${args}"]
    for command in (fits, ["${env}", *fits]):
        assert read(command=command).arguments({"a": "1"}) == [
            sys.executable,
            "-m",
            "lit_gans",
            "fit",
            "--online",
            "--a=1",
        ]
        assert read(command=command).fit_arguments({"a": "1"}) == ["--online", "--a=1"]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"method": "gird"}, "error: method: must be one of grid, random, bayes, not 'gird'"),
        ({"method": None}, "error: method: must be one of"),
        ({"method": ["grid"]}, "error: method: must be one of"),
        ({"metric": {"name": "a", "goal": "minimise"}}, "error: metric: must be one of minimize, maximize"),
        ({"metric": "fid"}, "error: metric: must be {name: best/fid"),
        ({"metric": {"name": 3}}, "error: metric: must be {name: best/fid"),
        ({"metric": {"name": "a", "target": "1e-3"}}, "error: metric: YAML reads target '1e-3' as text"),
        ({"method": "bayes", "metric": None}, "error: metric: must be {name: best/fid"),
        ({"command": "lit-gans fit"}, "error: command: must be a list"),
        ({"command": ["lit-gans", {"a": 1}]}, "error: command: must be a list"),
        ({"command": ["lit-gans", "fit"]}, "error: command: must have '${args}' once"),
        ({"command": ["lit-gans", "${args}", "${args_no_hyphens}"]}, "error: command: has ${args_no_hyphens}"),
        ({"command": None}, "error: command: has ${program}, and the file names no program"),
        ({"run_cap": "9"}, "error: run_cap: must be a number of trials"),
        ({"run_cap": 0}, "error: run_cap: must be a number of trials"),
        ({"name": "../up"}, "error: name: names the folder of the runs"),
        ({"name": "my sweep"}, "error: name: names the folder of the runs"),
        ({"parameters": []}, "error: parameters: are missing"),
        ({"parameters": ["a"]}, "error: parameters: must be a mapping, such as"),
        ({"paramters": 3}, "error: paramters: is no key of a sweep"),
        ({"early_terminate": {"type": "envelope"}}, "error: early_terminate: must have type: hyperband"),
        ({"early_terminate": {"type": "hyperband"}}, "error: early_terminate: give either min_iter, or both"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 3, "s": 2}}, "error: early_terminate: give either"),
        ({"early_terminate": {"type": "hyperband", "max_iter": 2, "s": 2}}, "error: early_terminate: max_iter must be"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 0}}, "error: early_terminate: min_iter must be a whole"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 3, "eta": 1}}, "error: early_terminate: eta must be 2"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 3, "x": 1}}, "error: early_terminate: has no x"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 3}, "metric": None}, "error: early_terminate: needs"),
        ({"parameters": {"a": {"min": 0.0, "max": 1.0}}}, "error: a: a grid has no end"),
        ({"parameters": {"a": {"min": 0, "max": 10**9}}}, "error: a: 1000000001 values are too many"),
        ({"parameters": {name: {"min": 1, "max": 99} for name in "abc"}}, "error: parameters: a grid of 970299"),
        ({"parameters": {"a": {"values": [1, 2], "probabilities": [0.5, 0.5]}}}, "error: a: probabilities are for"),
    ],
)
def test_files_that_are_refused(keys, line):
    (found,) = lines(**keys)
    assert found.startswith(line)


def test_all_that_is_wrong_is_told_at_once():
    parameters = {"a": {"values": ["1e-5"]}, "b": {"distribution": "beta"}, "c": {"value": 1}}
    found = lines(method="gird", metric={"name": "a", "goal": "up"}, parameters=parameters, foo=1)
    assert sorted(line.split(":")[1].strip() for line in found) == ["a", "b", "foo", "method", "metric"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [", "is no YAML"),
        ("", "is no sweep"),
        ("- 1", "is no sweep"),
        ("model: GAN", "is no sweep"),
        ("!!python/object/apply:os.system [touch hacked]", "is no YAML"),
    ],
)
def test_files_that_are_none(text, line):
    Path("sweep.yaml").write_text(text)
    with pytest.raises(UserError, match=line):
        read_sweep(Path("sweep.yaml"))
    assert not Path("hacked").exists()


def test_the_name_is_that_of_the_file_unless_it_says_another():
    assert read().name == "sweep"
    assert read(name="mine").name == "mine"


@pytest.mark.parametrize(
    ("given", "looks"),
    [
        ({"min_iter": 2}, [2, 6, 18, 54]),
        ({"min_iter": 3, "eta": 2, "strict": True}, [3, 6, 12, 24, 48, 96]),
        ({"max_iter": 81, "s": 2}, [9, 27]),
        ({"max_iter": 27, "s": 9, "eta": 3}, [1, 3, 9]),
        ({"max_iter": 100, "s": 3, "eta": 3}, [3, 9, 27]),
    ],
)
def test_where_trials_are_looked_at(given, looks):
    """A rising curve beside a flat one is stopped at the first look, and one that rises later at a later one."""
    halving = Halving.read({"type": "hyperband"} | given)
    study = optuna.create_study(pruner=halving.pruner())
    assert not halving.bad(study.ask(), [0.0] * 100, 0)
    for k, look in enumerate(looks):
        for length, is_bad in ((look, False), (look + 1, True)):
            before = [0.0] * (looks[k - 1] + 1 if k else 0)
            values = before + [1.0] * (length - len(before))
            assert halving.bad(study.ask(), values, 0) == is_bad
    assert not halving.bad(study.ask(), [0.0] * (looks[-1] + 1) + [1.0] * (100 - looks[-1]), 0)


def test_the_better_third_goes_on():
    halving = Halving.read({"type": "hyperband", "min_iter": 1})
    study = optuna.create_study(pruner=halving.pruner(), direction="maximize")
    stopped = [halving.bad(study.ask(), [0.0, float(value)], 0) for value in range(9, 0, -1)]
    assert stopped == [False, *[True] * 8]
    assert not halving.bad(study.ask(), [0.0, 8.5, 9.0], 3)  # all of it was told before
    assert [halving.bad(study.ask(), [0.0, value], 0) for value in (9.5, 8.9)] == [False, False]


def test_what_was_told_before_is_not_told_again():
    halving = Halving.read({"type": "hyperband", "min_iter": 5})
    trial = optuna.create_study(pruner=halving.pruner()).ask()
    halving.bad(trial, [3.0, 2.0], 0)
    halving.bad(trial, [9.0, 9.0, 1.0], 2)
    assert trial.study.trials[0].intermediate_values == {0: 3.0, 1: 2.0, 2: 1.0}
