"""What a batch is made of."""

from typing import NamedTuple

from torch import Tensor


class Labelled(NamedTuple):
    """Images and their classes.

    Attributes:
        image: float32, (N, C, H, W), in [-1, 1].
        label: int64, (N,), in 0..num_classes-1; all 0 where the data has no classes.
    """

    image: Tensor
    label: Tensor


class Paired(NamedTuple):
    """Images and what should be made of them.

    Attributes:
        source: float32, (N, C, H, W), in [-1, 1]: what a model is given.
        target: float32, (N, C', H', W'), in [-1, 1]: what it should make of it.
    """

    source: Tensor
    target: Tensor


class Unpaired(NamedTuple):
    """Images of two kinds, of which none belongs to another.

    Attributes:
        a: float32, (N, C, H, W), in [-1, 1].
        b: float32, (N, C, H, W), in [-1, 1].
    """

    a: Tensor
    b: Tensor
