"""Single runs and sweeps on the page of a comparison, in a real browser."""

from dataclasses import replace

import numpy as np
import pytest

from lit_gans.comparison.runs import Group
from lit_gans.comparison.statistics import counted
from tests.browser import CHROMIUM
from tests.comparisons import group, run
from tests.pages import click, lines, opened, sweep

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no `chromium` here (Debian: apt-get install chromium)"),
]


def test_runs_that_ended_badly_are_seen(browser, tmp_path):
    """Beside the seeds of their variant, above the other runs, and at the top of the page; with the rule."""
    good, bad = group("good", [3, 3.1, 3.2]), group("bad", [5, 5.1, 40])
    opened(browser, tmp_path, [good, bad])
    assert browser.run("[...document.querySelectorAll('#best td small.warn')].map((one) => one.textContent)") == [
        "1 ended badly"
    ]
    assert browser.run("document.querySelector('#best tr[data-label=\"1\"] small.warn') !== null")
    assert browser.run("document.querySelector('#counts').textContent").endswith("6 finished (1 ended badly)")
    rows = browser.run("[...document.querySelectorAll('#runs tbody tr')].map((one) => one.textContent)")
    assert len(rows) == 6
    assert rows[0].startswith("bad-squares-s2")
    assert "finishedended badly" in rows[0]
    assert "val/fid 40 at the end, 5 in the best of this variant" in rows[0]
    assert not [row for row in rows[1:] if "badly" in row]
    assert "more than 3 times worse" in browser.run("document.querySelector('#best').textContent")
    opened(browser, tmp_path, [good])
    assert "badly" not in browser.run("document.querySelector('main').innerText + section('counts').innerText")


def test_of_one_seed_the_same_run_counts_in_plots_and_tables(browser, tmp_path):
    """That with the latest number, not the longest."""
    longest, measured = run("longest", 0, 9), run("measured", 0, 3)
    longest.columns["kimg"] = 2 * longest.columns["kimg"]
    longest.columns["val/fid"][4:] = np.nan
    assert counted([measured, longest], "val/fid") == [measured]
    opened(browser, tmp_path, [Group("plain", "squares", (measured, longest))])
    (mean,) = lines(browser)["means"]
    assert np.allclose(mean["y"], measured.columns["val/fid"], rtol=1e-4)
    assert browser.run("data.tables[0].rows[0].last[0]") == pytest.approx(3)
    (loss,) = lines(browser, "#training .panel")["means"]
    assert loss["x"][-1] == 20  # each metric by its own numbers


def test_the_band_of_two_seeds_is_their_range(browser, tmp_path):
    """Their interval would be nine times as wide, and the plot be made for it."""
    for fids, (low, high) in (([3, 5], (3, 5)), ([3, 5, 4], (4 - 2.484, 4 + 2.484))):
        opened(browser, tmp_path, [group("plain", fids)])
        (band,) = lines(browser)["bands"]
        assert band["y"][19:21] == pytest.approx([high, low], abs=2e-3)  # there and back: the end is in the middle


def test_rings_are_unfinished_and_dashes_are_variants(browser, tmp_path):
    """Also of single runs, in both kinds of line."""
    done = [group(f"v{place}", [3 + place, 3.5 + place]) for place in range(8)]  # one more than colours
    failed = run("failed", 7, 3, rows=5, state="failed")
    running = Group("new", "squares", (run("new", 0, 9, rows=10, state="running"),))
    opened(browser, tmp_path, [replace(done[0], runs=(*done[0].runs, failed)), *done[1:], running])
    assert {line["dash"] for line in lines(browser)["means"]} == {"solid", "dash"}
    assert [line["dash"] for line in lines(browser)["means"]].count("dash") == 2  # the eighth and ninth
    assert [ring["x"] for ring in lines(browser)["rings"]] == [[10]]
    click(browser, "button[value=single]")
    shown = lines(browser)
    assert sorted(ring["y"][0] for ring in shown["rings"]) == pytest.approx([3, 9, 9])
    assert [line["dash"] for line in shown["singles"]].count("dash") == 3
    assert len(shown["singles"]) == 2 * 8 + 2


def test_brushes_of_parallel_coordinates(browser, tmp_path):
    """A box on an axis fades the lines outside, a second one those outside of either; moved, it takes others."""
    opened(browser, tmp_path, sweep(tmp_path))
    browser.run("document.querySelector('#options').scrollIntoView()")
    browser.settle()
    plot = "document.querySelector('#options .js-plotly-plot')"

    def at(axis, height):
        return browser.run(
            f"""(() => {{
              const {{xaxis, yaxis}} = {plot}._fullLayout, {{x, y}} = {plot}.getBoundingClientRect();
              return [x + xaxis._offset + xaxis.d2p({axis}), y + yaxis._offset + yaxis.d2p({height})];
            }})()"""
        )

    def kept(*places, **how):
        """The lines that are not faded, after a drag."""
        browser.run(f"window.faded = false; {plot}.once('plotly_restyle', () => {{ faded = true; }}); 0")
        browser.drag(*(at(*place) for place in places), **how)
        browser.run(
            "(async () => { for (let k = 0; k < 300 && !faded; k += 1) await new Promise(requestAnimationFrame); })()"
        )
        return browser.run(shown)

    shown = f"{plot}.data.flatMap(({{opacity}}, place) => (opacity > 0.5 ? [place] : []))"
    axes = [[1, 2 / 3, 1 / 3, 0], [0, 0.5, 0, 1]]  # of a to d: the learning rate, which is logarithmic, and the loss
    assert np.allclose(np.transpose(browser.run(f"{plot}.data.map(({{y}}) => y.slice(0, 2))")), axes)
    assert browser.run(shown) == [0, 1, 2, 3]
    assert kept((-0.1, 1.05), (0.1, 0.2)) == [0, 1, 2]
    assert kept((0.9, 0.2), (1.1, -0.05), shift=True) == [0, 2]
    assert kept((1, 0.1), (1, 0.6)) == [1]  # the second box, which is the active one, is moved
    assert kept((0.4, 0.2), (0.6, 0.8)) == [0, 1, 2, 3]  # no axis is there
    assert kept((-0.1, 1.05), (0.1, 0.5)) == [0, 1]
    assert kept((0.5, 0.5), (0.5, 0.5), clicks=2) == [0, 1, 2, 3]
    assert browser.run(f"{plot}.layout.selections") == []
    assert kept((-0.1, 1.05), (0.1, 0.5)) == [0, 1]
    click(browser, "#variants input")
    assert browser.run(shown) == [1, 2, 3]  # and no box is left
    assert browser.run(f"{plot}.querySelectorAll('.selectionlayer path').length") == 0
    assert browser.complaints == []
