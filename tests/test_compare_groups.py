"""Which runs belong together, and how groups are called."""

from pathlib import Path

from lit_gans.comparison.groups import brief, essential, group_runs, short
from lit_gans.comparison.runs import Run
from tests.compared import config


def configured(name, seed=0, variant="gan", study="default", data="Digits", loss="Hinge", **arguments):
    made = config(seed, loss, data, **arguments) | {"study": study}
    return Run(name, Path(name), variant, data.lower(), seed, study, made)


def test_runs_that_differ_in_their_seed_alone_are_a_group():
    runs = [configured("a", 0), configured("b", 1), configured("c", 2, study="other")]
    longer = configured("d", 3)
    longer.config["trainer"]["max_steps"] = 99
    (found,) = group_runs([*runs, longer])
    assert (found.label, found.dataset, found.runs, found.differing) == ("gan", "digits", (*runs, longer), {})
    two = group_runs([*runs, configured("e", data="MNIST")])
    assert [(one.label, one.dataset, len(one.runs)) for one in two] == [("gan", "digits", 3), ("gan", "mnist", 1)]


def test_labels_say_what_differs():
    runs = [
        configured("a", loss="Hinge"),
        configured("b", loss="Minimax"),
        configured(
            "c", loss="Minimax", penalties=[{"class_path": "lit_gans.penalties.R1", "init_args": {"weight": 3}}]
        ),
        configured("d", variant="wgan", loss="Wasserstein"),
        configured("e", data="MNIST", loss="Minimax"),
    ]
    found = {one.runs[0].name: one for one in group_runs(runs)}
    assert {name: one.label for name, one in found.items()} == {
        "a": "gan loss=Hinge",
        "b": "gan loss=Minimax",
        "c": "gan loss=Minimax penalties=R1",
        "d": "wgan",
        "e": "gan",
    }
    assert found["a"].differing == {"model.loss": "lit_gans.losses.Hinge"}
    assert found["c"].differing.keys() == {"model.loss", "model.penalties", "model.penalties.weight"}
    assert found["e"].differing == {}


def test_studies_tell_their_variants_apart():
    ours = [configured(str(seed), seed, study="ours") for seed in range(2)]
    theirs = [configured("x", study="theirs", loss="Minimax", width=3, a=1, b=2)]
    assert {one.label for one in group_runs([*ours, *theirs])} == {"gan study=ours", "gan study=theirs"}
    mixed = configured("y", study="theirs")
    assert {one.label.partition(" ")[2] for one in group_runs([*ours, mixed, *theirs])} == {
        "loss=Hinge",
        "loss=Minimax width=3 a=1 +1",
    }


def test_arguments_that_a_class_implies_are_in_no_label():
    def penalised(name, **arguments):
        return configured(
            f"{name}{arguments}", penalties=[{"class_path": f"lit_gans.penalties.{name}", "init_args": arguments}]
        )

    runs = [penalised("R1", weight=1, every=4), penalised("R1", weight=2, every=4), penalised("LeCam", weight=3)]
    assert {one.label for one in group_runs(runs)} == {
        "gan penalties.weight=1 penalties=R1",
        "gan penalties.weight=2 penalties=R1",
        "gan penalties.weight=3 penalties=LeCam",
    }


def test_options_that_go_without_saying():
    wide, narrow = {"net": "A", "net.width": 3, "lr": 1}, {"net": "A", "net.width": 2, "lr": 1}
    assert essential([wide, {"net": "B", "lr": 2}]) == ["net", "lr"]
    assert essential([wide, {"net": "B", "lr": 2}, narrow]) == ["net", "net.width", "lr"]


def test_labels_are_short_and_unique():
    swept = [configured(str(n), a=n // 2, b=n, c=n, d=n, e=0) for n in range(4)]
    labels = [one.label for one in group_runs(swept)]
    assert labels == [f"gan b={n} c={n} d={n} +1" for n in range(4)]
    alike = [configured("x", loss="Hinge"), configured("y", loss="Hinge")]
    alike[1].config["model"]["init_args"]["loss"]["class_path"] = "own.Hinge"
    assert [one.label for one in group_runs(alike)] == ["gan loss=Hinge", "gan loss=Hinge #2"]
    assert short(0.1 + 0.2) == "0.3"
    assert short({"class_path": "a.b.Net"}) == "Net"
    assert short([None, "runs/x.y"]) == "[null,runs/x.y]"
    assert brief({"data.batch_size": 8, "model": "lit_gans.GAN"}) == ["batch_size=8", "model=GAN"]


def test_configs_of_other_projects_are_compared_whole():
    told = [{"lr": 1, "seed": 0}, {"lr": 1, "seed": 1, "study": "b"}, {"lr": 2, "seed": 0}, {}]
    runs = [Run(str(n), Path("r"), "x", "", one.get("seed"), config=one) for n, one in enumerate(told)]
    found = {one.label: [run.name for run in one.runs] for one in group_runs(runs)}
    assert found == {"x lr=1": ["0", "1"], "x lr=2": ["2"], "x": ["3"]}
