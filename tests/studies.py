"""A small study, and a small program in place of `fit`, which makes what a study looks at."""

import json
import os
import signal
import sys
from pathlib import Path

import yaml

from lit_gans.run import alone, write_config
from lit_gans.status import reporting

FIT = [sys.executable, "-m", "tests.studies"]
STUDY = """
budget: {kimg: 2}
seeds: [0, 3]
options: {model.generator_lr: 1e-4, model: GAN}
datasets:
  digits: {data: Digits}
variants:
  one: {model.generator_lr: 0.5}
  two: {model: DCGAN}
full: {budget: {seconds: 90061}, seeds: 1}
"""
FILE = Path("small.yaml")


def parse(arguments):
    """What the parser of `fit` makes of them, as far as a study looks at it."""
    given = {name: yaml.safe_load(value) for name, value in (word[2:].split("=", 1) for word in arguments[1:])}
    config = {"metrics": {}, "trainer": {"max_time": given["trainer.max_time"]}}
    for name, package, defaults in (("model", "lit_gans", {"width": 4}), ("data", "datamodules", {"batch_size": 64})):
        own = {key.partition(".")[2]: value for key, value in given.items() if key.startswith(f"{name}.")}
        config[name] = {"class_path": f"{package}.{given[name]}", "init_args": defaults | own}
    return config | {name: given[name] for name in ("seed_everything", "max_kimg", "label", "run_dir")}


def fit(arguments):
    """A training of two thousand images, which notes what it was told; variables of the environment let it fail."""
    config = parse(["fit", *arguments])
    run, label = Path(config["run_dir"]), config["label"]
    with open("told", "a") as file:
        file.write(json.dumps(arguments) + "\n")
    if label in os.environ.get("REFUSED", ""):
        sys.exit("lit-gans: error: there is no option --x")
    length = {"max_kimg": config["max_kimg"]} if config["max_kimg"] else config["trainer"]
    with alone(run):
        write_config(run, config)
        with reporting(run, length):
            (run / "metrics.csv").write_text("kimg,cost/hours,x\n1.0,0.5,\n2.0,1.0,\n2.0,,3\n")
            if label in os.environ.get("FAILING", ""):
                raise ValueError("weights are not finite")
            if label in os.environ.get("KILLED", ""):
                os.kill(os.getpid(), signal.SIGKILL)
            if label in os.environ.get("WAITING", ""):
                Path("waiting").write_text(str(os.getpid()))
                signal.pause()
    print("Run directory:", run)


if __name__ == "__main__":
    fit(sys.argv[1:])
