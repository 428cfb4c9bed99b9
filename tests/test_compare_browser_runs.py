"""Single runs and sweeps on the page of a comparison, in a real browser."""

from dataclasses import replace

import numpy as np
import pytest

from lit_gans.comparison.runs import Group
from lit_gans.comparison.statistics import counted
from tests.browser import CHROMIUM
from tests.comparisons import group, run
from tests.pages import click, lines, opened

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
