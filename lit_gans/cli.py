"""The command line: `lit-gans VERB ...`."""

import io
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from inspect import signature
from signal import SIGTERM
from typing import Any, get_args, get_origin

from lit_gans.errors import UserError, line_for_user

VERBS = {
    "fit": "train a variant on a dataset; the same command again continues",
    "validate": "measure a run's best checkpoint on the validation data",
    "test": "measure a run's best checkpoint on the test data",
    "sample": "draw images from a run",
    "translate": "make images of photos by a run of an image-to-image model",
    "upscale": "enlarge photos by a run of a super-resolution model",
    "evaluate": "measure a run, a checkpoint or a folder of images with all scores",
    "compare": "put runs side by side: a table with intervals over seeds, and a page",
    "study run": "train what is missing of a study: variants x datasets x seeds",
    "study status": "show what is done of a study",
    "sweep run": "search hyper-parameters as a W&B sweep file says, without a server",
    "sweep check": "find what is wrong in a W&B sweep file",
}
"""The function of `study run` is `run` in `verbs/study.py`."""
HELP = ("-h", "--help")


def main(arguments: list[str] | None = None) -> None:
    """Runs one verb; what the user can mend is said in one line, with an exit code that is not 0."""
    warnings.formatwarning = lambda message, *_args, **_kwargs: f"warning: {' '.join(str(message).split())}\n"
    arguments = sys.argv[1:] if arguments is None else arguments
    verb = next((name for name in VERBS if arguments[: name.count(" ") + 1] == name.split()), None)
    if verb is None:
        show_verbs(arguments)
        return
    try:
        run_verb(verb, arguments[verb.count(" ") + 1 :])
    except KeyboardInterrupt:
        raise SystemExit(f"lit-gans: {verb} was interrupted") from None
    except SystemExit as leaving:
        if type(leaving).__name__ == "SIGTERMException":  # Lightning's, with exit code 0; not worth importing it for
            raise SystemExit(128 + SIGTERM) from None
        raise
    except Exception as error:
        if line := line_for_user(error):
            raise SystemExit(f"lit-gans: error: {line}") from None
        raise


def show_verbs(arguments: list[str]) -> None:
    """Lists all verbs, or those that begin with the word given.

    Raises:
        SystemExit: there is no such verb.
    """
    first, second = [*arguments, "--help", "--help"][:2]
    shown = {name: what for name, what in VERBS.items() if first in HELP or name.startswith(f"{first} ")}
    if not shown or first not in HELP and second not in HELP:
        verb = f"{first} {second}" if shown else first
        raise SystemExit(f"lit-gans: error: there is no verb {verb!r}; the verbs are {', '.join(shown or VERBS)}")
    lines = [f"  {name:13} {what}" for name, what in shown.items()]
    print("\n".join(["usage: lit-gans VERB ... (lit-gans VERB --help tells more)", "", *lines]))


def run_verb(verb: str, arguments: list[str]) -> None:
    """Imports what the verb needs, and nothing before; classes in files of the current folder can be named."""
    sys.path.append(os.getcwd())
    if verb in ("fit", "validate", "test"):
        from lit_gans.verbs.fit import GANCLI

        GANCLI([verb, *arguments])
    else:
        module, function = verb.split()[0], verb.split()[-1]
        run_function(verb, getattr(import_module(f"lit_gans.verbs.{module}"), function), arguments)


def run_function(verb: str, function: Callable[..., None], arguments: list[str]) -> None:
    """Calls a verb that is a function.

    What stands before its `*` is given by place: what has a default may be left out, and of a list there may be
    several. What follows `--` are its `options`.
    """
    from jsonargparse import ActionYesNo

    from lit_gans.explain import Parser

    if "torch" in sys.modules:  # a verb that does without names no classes
        from lit_gans import metrics
        from lit_gans.parsing import learn_short_names, mend_parser

        mend_parser()
        learn_short_names(metrics)
    if "--" in arguments:
        cut = arguments.index("--")
        arguments = [*arguments[:cut], f"--options={json.dumps(arguments[cut + 1 :])}"]
    title, _, described = function.__doc__.partition("Args:")
    parser = Parser(prog=f"lit-gans {verb}", description=title.strip(), allow_abbrev=False)
    parser.add_argument("--config", action="config")
    ours = {}  # what jsonargparse would not take as people give it
    for one in signature(function).parameters.values():
        by_place, several = one.kind is one.POSITIONAL_OR_KEYWORD, get_origin(one.annotation) is list
        if by_place and several:
            ours[one.name] = {"nargs": "+", "type": get_args(one.annotation)[0]}
        elif by_place and one.default is not one.empty:
            ours[one.name] = {"nargs": "?", "type": one.annotation, "default": one.default}
        elif one.annotation is bool:
            ours[f"--{one.name}"] = {"action": ActionYesNo, "default": one.default}
    parser.add_function_arguments(
        function, as_group=False, as_positional=True, skip={name.lstrip("-") for name in ours}
    )
    for name, how in ours.items():
        parser.add_argument(name, **how, help=re.search(rf"\b{name.lstrip('-')}: (.*)", described)[1])
    given = parser.instantiate(parser.parse_args(arguments))
    function(**{name: value for name, value in given.items() if name != "config"})


def names_of(options: Sequence[str]) -> list[str]:
    """Names of options that follow `--`, which come after those of a file.

    Raises:
        UserError: one would undo those before it.
    """
    names = [option.removeprefix("--").partition("=")[0] for option in options if option.startswith("--")]
    if "config" in names:
        raise UserError("a --config after all options would undo them: name it among those of the file")
    return names


def parse(arguments: list[str]) -> dict[str, Any] | str:
    """The config that the command means, or the line that refuses it; nothing is built."""
    import yaml

    printed, refused = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(refused):
            main([*arguments, "--print_config"])
    except SystemExit as leaving:
        if leaving.code == 0:
            return yaml.safe_load(printed.getvalue())
        said = str(leaving.code) if isinstance(leaving.code, str) else refused.getvalue().strip().splitlines()[-1]
    return said.removeprefix("lit-gans: error: ")
