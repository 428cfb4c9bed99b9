"""How a number is made: without that it compares with nothing."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Literal

from lit_gans.errors import UserError
from lit_gans.metrics.custom import is_published
from lit_gans.metrics.features import FeatureNetwork
from lit_gans.metrics.inception import Inception

Split = Literal["train", "test"]
Description = dict[str, str | int | float | bool]
"""What a protocol came to in a run: only equal ones may share a column."""


class Protocol:
    """Which images are compared, and by which network.

    Args:
        name: Suffix of the metrics' names, such as `val/fid_inception_<name>`.
        features: The network; None for the one of the data.
        n_real: Number of reals, the first ones; all there are if there are fewer, or if it is None.
        n_fake: Number of fakes.
        reference: Split of the reals.

    Raises:
        UserError: too few images, or a name that is none.
    """

    def __init__(
        self,
        *,
        name: str = "",
        features: FeatureNetwork | None = None,
        n_real: int | None = 10_000,
        n_fake: int = 10_000,
        reference: Split = "train",
    ) -> None:
        if n_fake < 2 or n_real is not None and n_real < 2:
            raise UserError(f"FID needs at least 2 real and 2 fake images, not {n_real=}, {n_fake=}")
        if name and not name.isidentifier():
            raise UserError(f"the name of a protocol is part of the metrics' names: letters and digits, not {name!r}")
        self.name, self.features = name, features
        self.n_real, self.n_fake, self.reference = n_real, n_fake, reference


class Lucic2018(Protocol):
    """10,000 fakes against 10,000 test images, by Inception (Lucic et al., 2018, arXiv:1711.10337, section 5).

    Grey images are repeated to three channels; TensorFlow's resize.

    Args:
        weights: A file of Inception's weights; see `Inception`.
    """

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(name="lucic2018", features=Inception(weights), reference="test")


class StyleGANProtocol(Protocol):
    """50,000 fakes against all training images, by Inception (Karras et al., 2018, arXiv:1812.04948, table 1).

    TensorFlow's resize. Of larger data the paper takes 50,000 images, and later ones of its authors all, as here.

    Args:
        weights: A file of Inception's weights; see `Inception`.
    """

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(name="stylegan", features=Inception(weights), n_real=None, n_fake=50_000)


class CleanProtocol(Protocol):
    """50,000 fakes against all training images, resized as in clean-fid (Parmar et al., 2022, arXiv:2104.11222).

    Args:
        weights: A file of Inception's weights; see `Inception`.
    """

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__(name="clean", features=Inception(weights, resize="clean"), n_real=None, n_fake=50_000)


def short_hash(description: Description) -> str:
    """Eight digits for a description."""
    return sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:8]


def by_network(protocols: Sequence[Protocol]) -> list[tuple[FeatureNetwork, list[Protocol]]]:
    """The protocols of each network, so that an image passes equal ones once; those without have that of the first.

    Raises:
        UserError: two would have one name, or one has no network.
    """
    groups: dict[object, tuple[FeatureNetwork, list[Protocol]]] = {}
    names: list[tuple[str, str]] = []
    for protocol in protocols:
        network = protocol.features or protocols[0].features
        if network is None:
            raise UserError(f"the protocol {protocol.name!r} has no feature network: give it `features`")
        if (network.name, protocol.name) in names:
            raise UserError(
                f"two protocols would both be called fid_{network.name}{'_' * bool(protocol.name)}{protocol.name}: "
                "give one of them another `name` (that of an own module is its class)"
            )
        names.append((network.name, protocol.name))
        same = (network.name, network.sha256, network.resize) if is_published(network) else id(network)
        groups.setdefault(same, (network, []))[1].append(protocol)
    return list(groups.values())
