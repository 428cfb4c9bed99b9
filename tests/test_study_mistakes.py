"""What is wrong in a study file, or asked of one, is said in one line."""

import re
from pathlib import Path

import pytest

from tests.commands import fails
from tests.studies import FILE, STUDY


@pytest.fixture(autouse=True)
def _a_study():
    FILE.write_text(STUDY)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("seeds: [0, 3]", "", "seeds is missing"),
        ("seeds: [0, 3]\n", "seed: 3\n", "the file may have budget, seeds, .*, not 'seed'; did you mean seeds?"),
        ("seeds: [0, 3]", "seeds: [0, 0]", "list of different whole numbers from 0, not [0, 0]"),
        ("seeds: [0, 3]", "seeds: [-1]", "not [-1]"),
        ("seeds: [0, 3]", "seeds: 0", "not 0"),
        ("seeds: [0, 3]", "seeds: true", "not True"),
        ("seeds: [0, 3]", "seeds: [0.5]", "not [0.5]"),
        (
            "{kimg: 2}",
            "{kimg: 0}",
            "budget must be {kimg: NUMBER} or {seconds: WHOLE NUMBER}, above 0, not {'kimg': 0}",
        ),
        ("{kimg: 2}", "{kimg: .nan}", "above 0, not"),
        ("{kimg: 2}", "{kimg: 2, seconds: 3}", "budget must be"),
        ("{kimg: 2}", "{steps: 2}", "budget must be"),
        ("{kimg: 2}", "{seconds: 0.5}", "budget must be"),
        ("{kimg: 2}", "2", "budget must be"),
        ("{model: DCGAN}", "DCGAN", "the variant 'two' must be a mapping of options to values"),
        ("{model: DCGAN}", "{1: 2}", "the variant 'two' must be a mapping of options to values"),
        ("two: {model: DCGAN}", "one: {model: DCGAN}", "'one' is there twice (line 8 and below)"),
        ("two:", "no:", "the name False of a variant must be text"),
        ("two:", "a/b:", "the name 'a/b' of a variant must be text of letters"),
        ("two:", "digits:", "'digits' is the name of a dataset and of a variant"),
        ("{data: Digits}", "{}", "the dataset 'digits' has no `data`, such as `{data: FashionMNIST}`"),
        (", model: GAN}", "}", "the variant 'one' has no `model`, such as `{model: GAN}`"),
        ("{model: DCGAN}", "{max_kimg: 3}", "may not have the option 'max_kimg', which the study gives each run"),
        ("{model: DCGAN}", "{trainer.max_steps: 3}", "may not have the option 'trainer.max_steps'"),
        ("{model: DCGAN}", "{config: no.yaml}", "the variant 'two' has a config that is not there: no.yaml"),
        ("full: {budget", "full: {budgt", "full may have budget, .* not 'budgt'; did you mean budget?"),
        ("full: {budget", "full: {full: {}, budget", "full may have budget, .* not 'full'"),
        ("datasets:\n  digits: {data: Digits}", "datasets: {}", "datasets must be a mapping of names to options"),
        (STUDY, "", "the file must be a mapping of"),
        (STUDY, "- a", "the file must be a mapping of"),
        ("seeds: [0, 3]", "seeds: [0, 3", "small.yaml is no YAML"),
        ("two: {model: DCGAN}", "one-digits: {}\ndatasets: {}", "datasets' is there twice"),
    ],
)
def test_mistakes_in_a_study(old, new, line, capsys):
    assert STUDY.count(old) == 1
    FILE.write_text(STUDY.replace(old, new))
    pattern = re.escape(line).replace(r"\.\*", ".*")
    assert re.search(pattern, fails(["study", "status", "small.yaml"], capsys))


def test_two_runs_of_one_directory(capsys):
    FILE.write_text(
        STUDY.replace("digits:", "b-c:\n    {data: Digits}\n  c:").replace("one:", "a:").replace("two", "a-b")
    )
    assert "two runs would have one directory" in fails(["study", "status", "small.yaml"], capsys)


@pytest.mark.parametrize("how", [(), ("--slurm=--partition=gpu",)])
def test_options_are_read_before_anything_is_trained(how, capsys):
    FILE.write_text(STUDY.replace("{model: DCGAN}", "{model.loss: Hnge}"))
    line = fails(["study", "run", "small.yaml", *how], capsys)
    assert re.search("small.yaml: two on digits: loss: there is no .*'Hnge'; did you mean Hinge", line)
    FILE.write_text(STUDY.replace("one: {", "one: {data.batch_size: 2001, "))
    line = fails(["study", "run", "small.yaml", *how], capsys)
    assert "small.yaml: one on digits: 2 kimg are less than one batch of 2001 images: ask for more" in line
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--only=[tow]"], "small.yaml has one, two, digits, not 'tow'; did you mean two?"),
        (["--seeds=[1,1]"], "seeds must be"),
        (["--workers=0"], "workers must be at least 1, not 0"),
        (["--index=4"], "--index=4: the runs have numbers from 0 to 3"),
        (["--index=-1"], "--index=-1: the runs have numbers from 0 to 3"),
        (["--", "--max_kimg=3"], "the command line may not have the option 'max_kimg'"),
        (["--slurm="], "--slurm: there is no sbatch here"),
    ],
)
def test_mistakes_on_the_command_line(arguments, line, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert line in fails(["study", "run", "small.yaml", *arguments], capsys)
    FILE.write_text(STUDY[: STUDY.index("full")])
    assert "there is nothing under `full`" in fails(["study", "run", "small.yaml", "--full"], capsys)
    assert not Path("runs").exists()
