"""Whether W&B's server can be talked to; found out at once, since its client would wait for it for minutes."""

import os
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

import wandb


def unreachable() -> str | None:
    """Why the server cannot be reached, in one line; None if it can.

    Raises:
        ValueError: the environment has a setting that W&B does not know.
    """
    settings = wandb.Settings()
    settings.update_from_env_vars(os.environ)
    server = urlsplit(settings.base_url)
    if server.scheme in getproxies():  # then only the proxy knows
        return None
    try:
        port = server.port or {"http": 80}.get(server.scheme, 443)
        socket.create_connection((server.hostname, port), timeout=5).close()
    except OSError as error:
        return f"the W&B server {server.hostname} cannot be reached ({error})"
    return None
