"""Each score moves the right way when images are spoilt in a known way."""

from itertools import pairwise

import pytest

from datamodules import Digits
from experiments.meaning import CHANGES, rows, table


@pytest.fixture(scope="module")
def found():
    return rows(Digits(), 600)


def series(found, start, score):
    """The values from unchanged images to the most changed."""
    (kind,) = (kind for kind in CHANGES if kind.startswith(start))
    return [found["unchanged", 0.0][score], *(found[kind, much][score] for much in CHANGES[kind])]


def rises(values):
    return all(one < two for one, two in pairwise(values))


def test_distances_rise_as_images_are_spoilt(found):
    for kind in ("blur", "noise", "classes"):
        for score in ("fid", "kid"):
            assert rises(series(found, kind, score))
    for score in ("fid", "kid", "modes_kl"):
        mixed = series(found, "real images", score)[1:]
        assert rises([found["unchanged", 0.0][score], *reversed(mixed)])


def test_spoilt_images_look_less_real_and_make_less_of_the_reals(found):
    for kind in ("blur", "noise"):
        for score in ("precision", "density", "coverage", "is"):
            values = series(found, kind, score)
            assert values[-1] < 0.9 * values[0]
    assert rises(series(found, "real images", "precision")[1:])
    assert rises(series(found, "real images", "density")[1:])


def test_lost_classes_are_lost_reals_not_unreal_fakes(found):
    for score in ("recall", "coverage", "is"):
        assert rises(series(found, "classes", score)[::-1])
    assert min(series(found, "classes", "precision")) > 0.8
    assert series(found, "classes", "modes")[-1] < 0.5
    assert rises(series(found, "classes", "modes_kl"))


def test_copies_are_told_by_their_test_alone(found):
    share, p = (series(found, "copies", score) for score in ("copies", "copying_p"))
    assert rises(share)
    assert share == pytest.approx([0, 0.1, 0.5, 1], abs=0.12)
    assert p[2] < 1e-6 < 0.001 < p[0]
    assert rises(series(found, "copies", "fid")[::-1])  # by which copies look good
    for kind in ("blur", "noise", "classes"):
        assert min(series(found, kind, "copying_p")) > 0.001
    assert series(found, "copies", "fid")[-1] == pytest.approx(0, abs=1e-9)  # which MiFID divides by nothing


def test_the_table_has_a_line_for_each(found):
    lines = table(found).splitlines()
    assert len(lines) == 2 + 1 + sum(map(len, CHANGES.values()))
    assert len({line.count("|") for line in lines}) == 1
