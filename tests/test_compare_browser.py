"""The page of a comparison in a real browser."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lit_gans.comparison.runs import Group, Run
from lit_gans.status import Status
from tests.browser import CHROMIUM
from tests.comparisons import group, pictures, run
from tests.pages import click, lines, opened, see_all, sweep

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no `chromium` here (Debian: apt-get install chromium)"),
]

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<a href='javascript:window.hacked = 1'>look</a>",
    "<b>&lt;%{x} $y$</b>",
]


def test_every_panel_draws_and_nothing_leaves(browser, tmp_path):
    """Also no script but those of the page runs: the policy refuses one that is added, and an address that is asked."""
    opened(browser, tmp_path, sweep(tmp_path))
    empty, count = see_all(browser)
    assert empty == []
    assert count == 2 + 2 * 4 + 4 + 1  # two protocols, cost of each, training, parallel coordinates
    assert browser.run("[...document.querySelectorAll('section')].filter((one) => one.hidden).length") == 0
    assert browser.run("document.querySelectorAll('#best tbody tr').length") == 5
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.requests == browser.complaints == []
    assert browser.run("performance.getEntriesByType('resource').filter(({name}) => !/^data:/.test(name)).length") == 0
    browser.run("document.body.append(element('script', {textContent: 'window.hacked = 1'}))")
    assert browser.run("fetch('http://127.0.0.1:9/').then(() => 'went', (error) => error.message)") == "Failed to fetch"
    assert browser.run("window.hacked === undefined")
    assert len([text for text in browser.complaints if "Content Security Policy" in str(text)]) >= 2


def test_on_a_phone(browser, tmp_path):
    """What is wider scrolls in its own place, and axes keep room for their names; without runs, plots take no place."""
    groups = sweep(tmp_path)
    for each in groups:
        each.differing.update({f"model.further_{number}": f"{number} of {each.label}" for number in range(5)})
    opened(browser, tmp_path, groups, width=500)
    assert see_all(browser)[0] == []
    assert browser.run("document.documentElement.scrollWidth === innerWidth")
    plot = "document.querySelector('#options .panel')"
    assert browser.run(f"{plot}.scrollWidth > {plot}.clientWidth && {plot}.clientWidth < 500")
    names = browser.run(
        f"[...{plot}.querySelectorAll('.annotation')].map((one) => [one.textContent, one.getBoundingClientRect()])"
        ".filter(([text]) => /^(lr|loss|further_.|FID)$/.test(text)).map(([text, {left, right}]) => [left, right])"
    )
    assert len(names) == 8
    assert all(end < begin for (_, end), (begin, _) in pairwise(sorted(names)))
    click(browser, "#variants button + button")
    see_all(browser)
    assert max(browser.run("[...document.querySelectorAll('#cost .drawn')].map((one) => one.clientHeight)")) < 50
    click(browser, "#variants button")
    see_all(browser)
    assert browser.run("document.querySelector('#cost .drawn').clientHeight") == 360


def test_switches(browser, tmp_path):
    """Each changes what it says, in all panels."""
    groups = sweep(tmp_path)
    shorter = run("a-short", 0, 9, rows=4)  # than the other one of that seed
    opened(browser, tmp_path, [replace(groups[0], runs=(shorter, *groups[0].runs)), *groups[1:]])
    kimg, fid = groups[0].runs[0].columns["kimg"], np.array([one.columns["val/fid"] for one in groups[0].runs])

    shown = lines(browser)
    assert np.allclose(shown["means"][-1]["x"], kimg)  # the best on top
    assert np.allclose(shown["means"][-1]["y"], fid.mean(0), rtol=1e-4)
    half = 4.302653 * fid.std(0, ddof=1) / np.sqrt(3)
    assert np.allclose(shown["bands"][-1]["y"][:20], fid.mean(0) + half, rtol=1e-3)
    assert (len(shown["means"]), len(shown["bands"]), len(shown["singles"])) == (4, 4, 0)
    assert shown["axes"] == ["linear", "linear", "kimg"]

    click(browser, "button[value=range]")
    shown = lines(browser)
    assert np.allclose(shown["bands"][-1]["y"], [*fid.max(0), *fid.min(0)[::-1]], rtol=1e-4)
    click(browser, "button[value='generator/updates']")
    shown = lines(browser)
    assert np.allclose(shown["means"][-1]["x"], 100 * kimg)
    assert shown["axes"][2] == "G updates"
    click(browser, "button[value='cost/hours']")
    click(browser, "button[value=logX]")
    click(browser, "button[value=logY]")
    click(browser, "button[value=single]")
    shown = lines(browser)
    assert np.allclose(shown["means"][-1]["x"], kimg / 5)
    assert shown["axes"] == ["log", "log", "hours"]
    assert len(shown["singles"]) == 14  # with the short and the failed one, without the one of another protocol
    assert len(lines(browser, "#curves .panel + .panel")["means"]) == 1

    click(browser, "#variants input")
    shown = lines(browser)
    assert (len(shown["means"]), len(shown["bands"]), len(shown["singles"])) == (3, 3, 10)
    assert len(lines(browser, "#training .panel")["means"]) == 3
    assert browser.run("document.querySelectorAll('#best tr.off').length") == 1
    assert browser.run("document.querySelectorAll('#samples figure.off').length") == 1
    click(browser, "#variants button + button")
    assert browser.run("document.querySelectorAll('#samples figure.off').length") == 4
    click(browser, "#variants button")
    assert len(lines(browser)["means"]) == 4
    assert browser.complaints == []


def test_any_metric_and_the_slider(browser, tmp_path):
    opened(browser, tmp_path, sweep(tmp_path))
    browser.run("metric.value = 'discriminator/adversarial'; metric.dispatchEvent(new Event('change'))")
    browser.settle()
    assert browser.run("document.querySelectorAll('#curves .panel').length") == 1  # a loss has no protocol
    assert len(lines(browser)["means"]) == 4

    seen = "[...document.querySelectorAll('figure img')].map(({src}) => src)"
    stored = browser.run("data.pictures.map(({images}) => images.map(([kimg, source]) => source))")
    browser.run("time.focus()")
    assert browser.run(seen) == [one[2] for one in stored]
    browser.press("ArrowLeft", 37)
    assert browser.run(seen) == [one[1] for one in stored]
    assert browser.run("document.querySelector('output').value") == "5 kimg"
    browser.press("Home", 36)
    assert browser.run(seen) == [one[0] for one in stored]
    assert browser.run("[...document.images].every(({complete, naturalWidth}) => complete && naturalWidth === 40)")


def test_little_is_known_of_some_runs(browser, tmp_path):
    """One has logged nothing, another knows no hours, no protocol and no seed."""
    foreign = run("foreign", None, 4, protocols={}, dataset="")
    for name in ("cost/hours", "cost/memory_gib"):
        del foreign.columns[name]
    nothing = Run("nothing", Path("nothing"), "new", "squares", status=Status("running"))
    opened(browser, tmp_path, [Group("foreign", "", (foreign,)), Group("new", "squares", (nothing,))])
    quality, *costs = "FID against the hours of a run", "time per run", "memory, GiB"
    assert see_all(browser)[0] == [quality, *costs, quality, costs[0], "images/s", costs[1]]
    browser.run("scrollTo(0, 0)")
    click(browser, "button[value='cost/hours']")
    assert browser.run("document.querySelector('#curves .drawn').textContent").startswith("nothing to show")
    click(browser, "button[value=kimg]")
    assert len(lines(browser)["means"]) == 1
    opened(browser, tmp_path, [])
    assert browser.complaints == []


def test_by_keyboard(browser, tmp_path):
    """The first stops are the links, then the variants."""
    opened(browser, tmp_path, sweep(tmp_path))
    focused = "document.activeElement.closest('#variants') !== null && document.activeElement.type"
    stops = []
    while "checkbox" not in stops and len(stops) < 9:
        browser.press("Tab", 9)
        stops.append(browser.run(focused))
    assert "checkbox" in stops
    browser.press(" ", 32, text=" ")
    assert browser.run("state.on.size") == 3


def test_hostile_names_are_only_read(browser, tmp_path):
    """In texts, in plots and where they are hovered over."""
    groups = sweep(tmp_path, HOSTILE, "<svg onload='window.hacked = 1'>")
    for one in [one for variant in groups for one in variant.runs]:
        one.columns[f"generator/{HOSTILE[2]}"] = one.columns["val/fid"]
    opened(browser, tmp_path, groups, HOSTILE, metric=f"generator/{HOSTILE[2]}")
    empty, _ = see_all(browser)
    assert empty == []
    lines(browser)
    browser.run(
        "Plotly.Fx.hover(document.querySelector('#curves .js-plotly-plot'), [{curveNumber: 7, pointNumber: 3}])"
    )
    browser.settle()
    assert HOSTILE[0] in browser.run("document.querySelector('#curves .hoverlayer').textContent")
    assert browser.run("window.hacked === undefined")
    assert browser.run("document.querySelectorAll('main a, main script, main img[onerror], [onload]').length") == 0
    ticks = browser.run("[...document.querySelectorAll('#cost .ytick text')].map((one) => one.textContent)")
    assert HOSTILE[3] in ticks
    assert HOSTILE[2][:27] + "…" in ticks
    assert browser.complaints == browser.requests == []


def test_dark_and_printed(browser, tmp_path):
    opened(browser, tmp_path, sweep(tmp_path))
    light = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.settle()
    assert browser.run("getComputedStyle(document.body).backgroundColor") != light
    assert browser.run("document.querySelector('line[data-colour]').getAttribute('stroke') === DARK[0]")
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert browser.call("Page.printToPDF")["data"]
    assert browser.run("[...panels.values()].some(({stale}) => stale)") is False  # those never seen are drawn, too


def test_two_hundred_runs_of_five_hundred_points(browser, tmp_path):
    """Below 25 MB; the time is that of the report of the run, not a bound here."""
    shown = {"samples": pictures(tmp_path / "pictures", np.linspace(0, 10, 30), (500, 600), grey=90)}
    groups = [
        group(f"v{k}", [k, k + 1, k + 2], options={"model.lr": k, "model.n": k % 3}, rows=500, extra=12, pictures=shown)
        for k in range(1, 68)
    ]
    size = opened(browser, tmp_path, groups)
    print(f"{size / 1e6:.1f} MB, drawn {browser.run('performance.now()') / 1000:.1f} s after it was asked for")
    assert size < 25e6
    assert browser.run("data.runs.length") == 201
    assert len(lines(browser)["means"]) == 12
    click(browser, "#variants button")
    assert len(lines(browser)["means"]) == 67
    assert browser.complaints == browser.requests == []
