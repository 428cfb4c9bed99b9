"""The one exception for what the user can mend."""


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
