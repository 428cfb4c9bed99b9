"""fit, validate and test: LightningCLI with the data linked into the model, and one directory for each run."""

import logging
import re
import warnings
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionYesNo, Namespace
from jsonargparse.typing import PositiveFloat
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities import rank_zero_only

import datamodules
import lit_gans
from lit_gans.base import AdversarialModule
from lit_gans.callbacks import Checkpoint, Cost, Curves, Gallery, Progress, SampleGrid
from lit_gans.errors import UserError
from lit_gans.explain import OneLineErrors
from lit_gans.loading import find_checkpoint, read_checkpoint
from lit_gans.loggers import CSVRows, TensorBoardRun, WandbRun, trial
from lit_gans.metrics import ImageQuality, PairQuality
from lit_gans.parsing import learn_short_names, mend_parser
from lit_gans.perceptual import prepare_perceptual
from lit_gans.run import (
    alone,
    batches,
    check_same_run,
    inventory,
    labels,
    read_config,
    run_name,
    start_over,
    write_config,
)
from lit_gans.status import Status, read_status, reporting, write_status

NOISE = ("litlogger", "Skipping setting a default", "`weights_only` was not set")
warnings.filterwarnings("ignore", "Found .* in eval mode")  # the averaged generator is meant to be
warnings.filterwarnings("ignore", "LightningCLI's args parameter")  # which `main` hands over on purpose
warnings.filterwarnings("ignore", "The number of training batches")  # rows are counted across epochs
warnings.filterwarnings("ignore", ".*(LeafSpec|all_gather).* is deprecated")  # inside Lightning
warnings.filterwarnings("ignore", r".*self.log\('(kimg|step|generator/updates)'.*sync")  # alike on all devices
logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
    lambda record: not any(words in record.getMessage() for words in NOISE)
)


mend_parser()


class Parser(OneLineErrors, LightningArgumentParser):
    """The parser of Lightning's verbs."""


def with_config_of_run(arguments: list[str]) -> list[str]:
    """Adds to a `validate` or `test` of a `--run_dir` without `--config` that of the run."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    parser.add_argument("--run_dir", type=Path)
    given = parser.parse_known_args(arguments)[0]
    if arguments[0] == "fit" or given.config or not given.run_dir:
        return arguments
    read_config(given.run_dir)
    return [arguments[0], f"--config={given.run_dir / 'config.yaml'}", *arguments[1:]]


class GANCLI(LightningCLI):
    """Trains and evaluates; see `lit-gans fit --help`."""

    def __init__(self, args: list[str]) -> None:
        self.verb = args[0]
        learn_short_names(lit_gans, lit_gans.metrics, datamodules)
        with ExitStack() as self.held:
            self.run_command(args)

    def run_command(self, args: list[str]) -> None:
        """What LightningCLI does when it is made: parse, build, run."""
        super().__init__(
            AdversarialModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            auto_configure_optimizers=False,
            parser_class=Parser,
            parser_kwargs={"prog": "lit-gans", "allow_abbrev": False},
            trainer_defaults={
                "enable_checkpointing": False,
                "num_sanity_val_steps": 0,
                "use_distributed_sampler": False,
            },
            args=with_config_of_run(args),
        )

    def subcommands(self) -> dict[str, set[str]]:
        """The verb asked for alone: a parser of each of Lightning's takes time to make."""
        return {self.verb: LightningCLI.subcommands()[self.verb]}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds callbacks with flags of their own, the run directory, and what is taken from the data."""
        parser.add_lightning_class_args(ImageQuality, "metrics")
        parser.add_lightning_class_args(PairQuality, "pairs")
        parser.add_lightning_class_args(SampleGrid, "samples")
        parser.add_lightning_class_args(Gallery, "gallery")
        parser.add_lightning_class_args(Checkpoint, "checkpoint")
        parser.add_argument("--study", type=str, default="default", help="Folder below runs/ that holds the run.")
        parser.add_argument("--run_dir", type=str | None, default=None, help="Names the run directory outright.")
        parser.add_argument("--label", type=str | None, default=None, help="Names the variant in logs and comparisons.")
        parser.add_argument(
            "--max_kimg",
            type=PositiveFloat | None,
            default=None,
            help="Length of the training in thousands of images, in place of trainer.max_steps and max_epochs.",
        )
        flag = {"action": ActionYesNo, "default": False}
        parser.add_argument("--fresh", **flag, help="Start over where the run directory exists.")
        parser.add_argument("--online", **flag, help="Send the run to the W&B server as it goes.")
        parser.add_argument("--upload", **flag, help="Send the checkpoints there, too, when the training ends.")
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)
        parser.link_arguments("data.image_shape", "model.init_args.image_shape", apply_on="instantiate")
        parser.link_arguments("data.source_shape", "model.init_args.source_shape", apply_on="instantiate")
        parser.link_arguments("data.num_classes", "model.init_args.num_classes", apply_on="instantiate")

    def before_instantiate_classes(self) -> None:
        """Finds the run directory, and the checkpoint to go on from."""
        config = self.config[self.subcommand]
        for option, name in {"study": config.study, "label": config.label}.items():
            if name is not None and not re.fullmatch(r"\w[\w.-]*", name):
                raise UserError(f"--{option}={name}: give a plain name of letters, digits, dots and dashes")
        parser = self._parser(self.subcommand)
        self.resolved = yaml.safe_load(parser.dump(config, skip_none=False))
        name = "-".join(filter(None, [run_name(self.resolved), trial()]))
        self.run_dir = Path(config.run_dir or Path("runs") / config.study / name)
        config.trainer.default_root_dir = str(self.run_dir)
        if config.max_kimg is not None and self.subcommand == "fit":
            config.trainer.max_steps = batches(config.max_kimg, config.data.init_args.batch_size)
            config.trainer.max_epochs = -1
        last = self.run_dir / "checkpoints" / "last.ckpt"
        if self.subcommand != "fit":
            config.ckpt_path = config.ckpt_path or str(find_checkpoint(self.run_dir))
            check_same_run(self.run_dir, self.resolved, parts=("model", "data"))
            self.say(f"measuring {config.ckpt_path}")
        elif not config.fresh:
            check_same_run(self.run_dir, self.resolved)
            if config.ckpt_path:
                read_checkpoint(find_checkpoint(config.ckpt_path))
            elif last.exists():
                self.continue_from(last, config)
        if isinstance(config.trainer.val_check_interval, int):  # counts batches across epochs, as everything does
            config.trainer.check_val_every_n_epoch = None

    def _parse_ckpt_path(self) -> None:
        """Lightning would read the model's arguments from a checkpoint given by hand; ours come from the config."""

    def continue_from(self, last: Path, config: Namespace) -> None:
        """Goes on from the last checkpoint, or says that the run has had the length asked for."""
        checkpoint = read_checkpoint(last)
        steps, kimg = checkpoint["global_step"], checkpoint["clock"]["images_seen"] / 1000
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]["total"]["processed"]
        max_steps, max_epochs = config.trainer.max_steps, config.trainer.max_epochs
        if 0 <= max_steps <= steps or max_epochs is not None and 0 <= max_epochs <= epochs:
            if read_status(self.run_dir).state == "stopped" and steps == max_steps:  # killed after its last batch
                write_status(self.run_dir, Status("finished", length=self.length))
            self.say(f"This run is finished, at kimg {kimg:.3f} (step {steps}, {epochs} epochs).")
            self.say(inventory(self.run_dir))
            self.say("A larger --trainer.max_steps or --trainer.max_epochs continues it; --fresh starts over.")
            raise SystemExit(0)
        self.say(f"continuing at kimg {kimg:.3f} (step {steps}) of {self.run_dir}")
        config.ckpt_path = str(last)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds the callbacks that every run has and, unless others were asked for, its loggers."""
        trainer = self._get(self.config_init, "trainer")
        wanted = {Progress: trainer.enable_progress_bar, ModelSummary: trainer.enable_model_summary}
        shown = [callback() for callback, want in wanted.items() if want is not False]
        given = trainer.callbacks or []
        kwargs["callbacks"] = [*(given if isinstance(given, list) else [given]), Curves(), Cost(), *shown]
        if SLURMEnvironment.detect() and not trainer.plugins:  # its own way to requeue saves in the midst of a step
            kwargs["plugins"] = [SLURMEnvironment(auto_requeue=False)]
        if trainer.logger in (None, True) and self.subcommand == "fit":
            named = labels(self.resolved)
            wandb_run = WandbRun(
                self.run_dir,
                name="-".join([named["study"]] * (named["study"] != "default") + [self.run_dir.resolve().name]),
                config=self.resolved | named,
                online=self.resolved["online"],
                fresh=self.resolved["fresh"],
                upload=self.resolved["upload"],
                project="lit-gans",
                group=f"{named['dataset']}/{named['variant']}",
                job_type="train",
                tags=[named["variant"], named["dataset"], named["study"]],
            )
            kwargs["logger"] = [CSVRows(self.run_dir / "metrics.csv"), wandb_run, TensorBoardRun(self.run_dir)]
        elif self.subcommand != "fit":
            kwargs["logger"] = False
        return super().instantiate_trainer(**kwargs)

    @rank_zero_only
    def before_fit(self) -> None:
        """Makes the run directory, now that the config has proved to be right, and data and weights to be there."""
        self.datamodule.prepare_data()
        prepare_perceptual(self.model)
        self._get(self.config_init, "metrics").protocols(self.datamodule, self.model)
        self.held.enter_context(alone(self.run_dir))
        if self.resolved["fresh"]:
            start_over(self.run_dir)
        write_config(self.run_dir, {**self.resolved, "fresh": False})
        self.held.enter_context(reporting(self.run_dir, self.length))

    @property
    def length(self) -> dict[str, Any]:
        """The length asked for, as the status tells it."""
        if self.resolved["max_kimg"]:
            return {"max_kimg": self.resolved["max_kimg"]}
        return {key: self.resolved["trainer"][key] for key in ("max_steps", "max_epochs", "max_time")}

    def after_fit(self) -> None:
        """Says what came out, and where everything lies."""
        checkpoint = self._get(self.config_init, "checkpoint")
        if (last := self.trainer.callback_metrics.get(checkpoint.monitor)) is not None:
            self.say(f"{checkpoint.monitor} {last:.4g}, best.ckpt {checkpoint.sign * checkpoint.best:.4g}")
        self.say(inventory(self.run_dir))

    def after_test(self) -> None:
        """Says where the pictures are."""
        if (page := self.run_dir / "gallery" / "index.html").exists():
            self.say(f"Gallery: {page}")

    @staticmethod
    @rank_zero_only
    def say(line: str) -> None:
        """Prints on the first process only."""
        print(line, flush=True)
