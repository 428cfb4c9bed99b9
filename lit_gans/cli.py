"""The command line: `lit-gans VERB ...`."""

import os
import re
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from signal import SIGTERM
from typing import get_args, get_origin

from lit_gans.errors import line_for_user

VERBS = {
    "fit": "train a variant on a dataset; the same command again continues",
    "validate": "measure a run's best checkpoint on the validation data",
    "test": "measure a run's best checkpoint on the test data",
    "sample": "draw images from a run",
    "translate": "make images of photos by a run of an image-to-image model",
    "upscale": "enlarge photos by a run of a super-resolution model",
    "evaluate": "measure a run, a checkpoint or a folder of images with all scores",
    "compare": "put runs side by side: a table with intervals over seeds, and a page",
}


def main(arguments: list[str] | None = None) -> None:
    """Runs one verb; what the user can mend is said in one line, with an exit code that is not 0."""
    warnings.formatwarning = lambda message, *_args, **_kwargs: f"warning: {' '.join(str(message).split())}\n"
    arguments = sys.argv[1:] if arguments is None else arguments
    verb = arguments[0] if arguments else "--help"
    if verb in ("-h", "--help"):
        lines = [f"  {name:10} {what}" for name, what in VERBS.items()]
        print("\n".join(["usage: lit-gans VERB ... (lit-gans VERB --help tells more)", "", *lines]))
        return
    if verb not in VERBS:
        raise SystemExit(f"lit-gans: error: there is no verb {verb!r}; the verbs are {', '.join(VERBS)}")
    try:
        run_verb(verb, arguments)
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


def run_verb(verb: str, arguments: list[str]) -> None:
    """Imports what the verb needs, and nothing before; classes in files of the current folder can be named."""
    sys.path.append(os.getcwd())
    if verb in ("sample", "translate", "upscale", "evaluate"):
        from lit_gans import metrics
        from lit_gans.parsing import learn_short_names, mend_parser

        mend_parser()
        learn_short_names(metrics)
    if verb not in ("fit", "validate", "test"):
        run_function(getattr(import_module(f"lit_gans.verbs.{verb}"), verb), arguments[1:])
    else:
        from lit_gans.verbs.fit import GANCLI

        GANCLI(arguments)


def run_function(function: Callable[..., None], arguments: list[str]) -> None:
    """Calls a verb that is a function: what stands before its `*` is given by place.

    What has a default may be left out, and of a list there may be several.
    """
    from lit_gans.explain import Parser

    title, _, described = function.__doc__.partition("Args:")
    parser = Parser(prog=f"lit-gans {function.__name__}", description=title.strip(), allow_abbrev=False)
    parser.add_argument("--config", action="config")
    by_place = [one for one in signature(function).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    single = {one.name for one in by_place if one.default is one.empty and get_origin(one.annotation) is not list}
    parser.add_function_arguments(function, as_positional=True, skip={one.name for one in by_place} - single)
    for one in by_place:
        told = re.search(rf"\b{one.name}: (.*)", described)[1]
        if get_origin(one.annotation) is list:
            parser.add_argument(one.name, nargs="+", type=get_args(one.annotation)[0], help=told)
        elif one.name not in single:
            parser.add_argument(one.name, nargs="?", type=one.annotation, default=one.default, help=told)
    given = parser.instantiate(parser.parse_args(arguments))
    function(**{name: value for name, value in given.items() if name != "config"})
