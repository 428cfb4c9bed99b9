"""Pages of made-up comparisons, opened in a real browser."""

from pathlib import Path

import pytest

from lit_gans.comparison.page import write_page
from lit_gans.comparison.runs import Group
from lit_gans.comparison.statistics import summarise
from tests.browser import Browser
from tests.comparisons import group, pictures, run


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def opened(browser, folder, groups, problems=(), metric="val/fid", **kwargs):
    """The browser with a new page of the groups; returns its size in bytes."""
    path = Path(folder, "page.html")
    write_page(path, groups, summarise(groups, metric), problems, metric=metric)
    browser.requests.clear()
    browser.complaints.clear()
    browser.open(path, **kwargs)
    return path.stat().st_size


def sweep(folder, labels=("a", "b", "c", "d"), dataset="squares"):
    """Four variants of three seeds that differ in two options; of the last, one failed, one has another protocol."""
    groups = []
    for place, label in enumerate(labels):
        shown = {"samples": pictures(folder / str(place), [0, 5, 10], grey=40 * place)}
        options = {"model.lr": 10.0**-place, "model.loss": ["Hinge", label][place % 2]}
        groups.append(group(label, [3 + place, 3.5 + place, 4.5 + place], dataset, options=options, pictures=shown))
    failed = run(labels[-1] + "-failed", 7, 8, rows=4, state="failed", reason=labels[-1])
    other = run(labels[-1] + "-other", 8, 1, protocol="bbbb2222")
    groups[-1] = Group(labels[-1], dataset, (*groups[-1].runs, failed, other), groups[-1].differing)
    return groups


def see_all(browser):
    """Scrolls to each panel; the titles of those in which nothing is drawn, and the number of all."""
    return browser.run(
        """(async () => {
          const empty = [], all = [...document.querySelectorAll(".panel")];
          for (const one of all) {
            one.scrollIntoView();
            for (let k = 0; k < 4; k += 1) await new Promise((go) => requestAnimationFrame(go));
            const drawn = one.querySelectorAll(".main-svg .trace path:not([d=''])");
            if (drawn.length === 0) empty.push(one.querySelector("h3").textContent);
          }
          return [empty, all.length];
        })()"""
    )


def click(browser, selector):
    browser.run(f"document.querySelector({selector!r}).click()")
    browser.settle()


def lines(browser, panel="#curves .panel"):
    """Of the first such plot: x and y of its lines with a mean, bands, and the layout that plotly came to."""
    browser.run(f"document.querySelector({panel!r}).scrollIntoView()")
    browser.settle()
    return browser.run(
        f"""(() => {{
          const {{data, _fullLayout}} = document.querySelector({panel!r}).querySelector(".js-plotly-plot");
          const {{xaxis, yaxis}} = _fullLayout;
          const take = (found) => found.map(({{x, y, line}}) => ({{x, y, dash: line?.dash}}));
          return {{
            means: take(data.filter(({{line, fill}}) => !fill && line && line.width === 2)),
            singles: take(data.filter(({{line}}) => line && line.width === 1)),
            rings: take(data.filter(({{marker}}) => marker?.symbol === "circle-open")),
            bands: take(data.filter(({{fill}}) => fill)),
            axes: [xaxis.type, yaxis.type, xaxis.title.text],
          }};
        }})()"""
    )
