"""The command line: `lit-gans VERB ...`."""

import sys

from lit_gans.errors import UserError

VERBS = {
    "fit": "train a variant on a dataset; the same command again continues",
    "validate": "measure a run's best checkpoint on the validation data",
    "test": "measure a run's best checkpoint on the test data",
    "sample": "draw images from a run",
}


def main() -> None:
    """Runs one verb; what the user can mend is said in one line, with an exit code that is not 0."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in ("-h", "--help"):
        lines = [f"  {name:10} {what}" for name, what in VERBS.items()]
        print("\n".join(["usage: lit-gans VERB ... (lit-gans VERB --help tells more)", "", *lines]))
        return
    if verb not in VERBS:
        raise SystemExit(f"lit-gans: error: there is no verb {verb!r}; the verbs are {', '.join(VERBS)}")
    try:
        if verb == "sample":
            from jsonargparse import auto_cli

            from lit_gans.verbs.sample import sample

            auto_cli(sample, args=sys.argv[2:], prog="lit-gans sample")
        else:
            from lightning.pytorch.utilities.exceptions import MisconfigurationException

            from lit_gans.verbs.fit import GANCLI

            try:
                GANCLI(sys.argv[1:])
            except MisconfigurationException as error:
                raise UserError(" ".join(str(error).split())) from error
    except UserError as error:
        raise SystemExit(f"lit-gans: error: {error}") from None
