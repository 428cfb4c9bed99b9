"""The one exception for what the user can mend, and the line that says what is wrong."""

import re


class UserError(ValueError):
    """Bad input: one line that says what is wrong and what to do; the command line prints it without a traceback."""


def at_least(least: int, **arguments: float) -> None:
    """Checks numbers given by the user.

    Raises:
        UserError: one is smaller.
    """
    for name, value in arguments.items():
        if not value >= least:  # NaN is not
            raise UserError(f"{name} must be at least {least}, not {value}")


def line_for_user(error: BaseException | None) -> str | None:
    """What is wrong, if the user can mend it: the parser and Lightning wrap our errors in theirs."""
    while error is not None:
        if isinstance(error, UserError) or type(error).__name__ == "MisconfigurationException":  # Lightning's
            return " ".join(str(error).split())
        if isinstance(error, OSError) and error.strerror:
            return f"{error.filename or 'writing'}: {error.strerror}"
        if isinstance(error, UnicodeDecodeError):
            return f"a file that should be text is not ({error})"
        if match := re.search(r"\w+\.__init__\(\) (takes|missing|got) .*", str(error)):
            if "keyword argument" in match[0]:
                return f"{match[0]}, which the variant gives its networks: choose one that has it"
            return f"{match[0]} (a network is made from the image shape and the number of classes)"
        if "Union subtypes" in str(error):  # of the parser, around what a class refused when it was built
            reasons = re.findall(r"^ *- ((?!Expected|Does not validate).+)", str(error), re.MULTILINE)
            return "; ".join(dict.fromkeys(reasons)) or None
        error = error.__cause__ or error.__context__
    return None
