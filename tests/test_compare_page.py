"""The page of a comparison, read without a browser."""

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from lit_gans.comparison.packing import NUMBERS, POINTS, columns_of, packed, points_of, thinned, thumbnail
from lit_gans.comparison.page import bad_end, write_page
from lit_gans.comparison.runs import Group
from lit_gans.comparison.statistics import summarise
from lit_gans.comparison.words import headlines, protocol_words
from lit_gans.errors import UserError
from lit_gans.status import Status
from tests.comparisons import MADE, group, pictures, run

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<a href='javascript:window.hacked = 1'>look</a>",
    "<!--<script>&lt;%{x}$y$ \u2028\u2029\udcff",
]


class Page(HTMLParser):
    """Tags with their attributes, text outside of scripts, and the scripts."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.scripts = [], "", []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        self.data = json.loads(self.scripts[0])

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem != "style":
            self.text += data


def page(folder, groups, problems=(), **kwargs):
    given = {"metric": "val/fid", "mode": "min"} | kwargs
    write_page(folder / "page.html", groups, summarise(groups, given["metric"], mode=given["mode"]), problems, **given)
    return Page(folder / "page.html")


def test_nothing_from_elsewhere(tmp_path):
    """Three scripts, of which the two that run are named by their hashes; no address but places in the page."""
    made = page(tmp_path, [group("plain", [3, 4])])
    (policy,) = [found["content"] for _, found in made.tags if found.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    hashes = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in made.scripts[1:]]
    assert len(made.scripts) == 3
    assert rules == {
        "default-src": "'none'",
        "script-src": " ".join(hashes),
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert not [found for tag, found in made.tags if tag == "link" or "src" in found or "href" in found]
    assert "innerHTML" not in made.scripts[2]


def test_hostile_texts_are_data(tmp_path):
    """They come back as they were given, and nowhere else."""
    groups = [
        Group(bad, bad, tuple(run(bad, seed, 3, state="failed" * (seed == 2) or "finished", reason=bad, study=bad)
              for seed in range(3)), {bad: bad, "number": place}) for place, bad in enumerate(HOSTILE)
    ]  # fmt: skip
    made = page(tmp_path, groups, HOSTILE)
    harmless = page(tmp_path, [group("plain", [3, 4])])
    assert sorted(tag for tag, _ in made.tags) == sorted([*(tag for tag, _ in harmless.tags), *["p", "b"] * 3])
    assert sorted(made.data["labels"]) == sorted(HOSTILE)
    assert made.data["problems"] == HOSTILE
    for each in made.data["runs"]:
        assert each["name"] == each["reason"] == each["study"] == made.data["labels"][each["group"]]
    for bad in HOSTILE[:3]:
        assert bad in made.text
        assert bad not in (tmp_path / "page.html").read_text()
    assert not set("<>&\u2028\u2029") & set(made.scripts[0])


def test_unlike_protocols_and_datasets_stand_apart(tmp_path):
    other = [run(f"other-s{seed}", seed, 1, protocol="bbbb2222") for seed in range(2)]
    mixed = Group("mixed", "squares", (*group("mixed", [3, 4]).runs, *other))
    made = page(tmp_path, [mixed, group("plain", [5, 6]), group("plain", [7, 8], "circles")])
    told = {
        (one["dataset"], one["protocol"]): [(made.data["groups"][row["group"]]["label"], row["last"][0], row["rank"])
                                            for row in one["rows"]] for one in made.data["tables"]
    }  # fmt: skip
    mixed, plain = map(made.data["labels"].index, ("mixed", "plain"))
    assert told == {
        ("squares", "aaaa1111"): [(mixed, 3.5, 1), (plain, 5.5, 1)],
        ("squares", "bbbb2222"): [(mixed, 1, 1)],
        ("circles", "aaaa1111"): [(plain, 7.5, 1)],
    }
    assert [each["protocols"]["val/fid"] for each in made.data["runs"]].count("bbbb2222") == 2
    assert set(made.data["protocols"]) == {"aaaa1111", "bbbb2222"}


def test_a_table_tells_what_the_summary_does(tmp_path):
    groups = [group("good", [3, 4, 5.5]), Group("new", "squares", (run("new", 0, 9, state="running"),))]
    made = page(tmp_path, groups)
    (good, new), (summary, _) = made.data["tables"][0]["rows"], summarise(groups)
    assert good["last"] == pytest.approx([*summary.last], rel=1e-4)
    assert good["best"] == pytest.approx([*summary.best], rel=1e-4)
    assert (good["hours"], good["memory"], good["speed"], good["kimg"]) == (2, 1.5, 100, 10)
    assert new["last"] == [None, None, None, 0]
    assert new["states"] == {"running": 1}
    assert made.data["t"][2:4] == [12.7062, 4.3027]  # of tables, for 1 and 2 degrees of freedom


@pytest.mark.parametrize(("end", "mode", "bad"), [
    (11.9, "min", False), (12.1, "min", True), (np.nan, "min", True), (1.7, "max", False), (1.6, "max", True),
    (0, "max", True),
])  # fmt: skip
def test_a_bad_end_is_far_from_the_best_or_not_finite(end, mode, bad):
    """Of its own, or that of another seed, however that ended; never of a run that goes on."""
    own, other = run("own", 0, 4), run("other", 1, 4, state="failed")
    alien = run("alien", 2, {"min": 0.01, "max": 900}[mode], protocol="bbbb2222")
    own.columns["val/fid"] = np.array([5.0] * 19 + [end])
    other.columns["val/fid"] = np.array([4.0, *[4.2] * 19])
    assert bool(bad_end(own, Group("plain", "squares", (own, other, alien)), "val/fid", mode)) is bad
    running = replace(own, status=Status("running"))
    assert bad_end(running, Group("plain", "squares", (running, other)), "val/fid", mode) == ""


def test_a_metric_that_scatters_about_zero_has_no_factor():
    lucky = group("plain", [0.0015, 0.0001, 0.002])
    for one in lucky.runs:
        one.columns["val/kid"] = one.columns.pop("val/fid")
        assert bad_end(one, lucky, "val/kid", "min") == ""


def test_curves_come_back_to_five_digits():
    one = run("one", 0, 3.14159265, rows=30)
    one.columns["val/fid"][::3] = np.nan
    names = columns_of([one], "val/fid")
    found = packed(one, names, POINTS)
    for place, name in enumerate(names):
        at, values = found["series"][place]
        kimg, expected = one.series(name)
        assert np.allclose(found["xs"][at], kimg, rtol=1e-6)
        assert np.allclose(values, expected, rtol=5e-5)
    assert names[0] == "val/fid"
    assert "kimg" not in names
    assert len(found["xs"]) == 2  # of all rows, and of those with a FID


@pytest.mark.parametrize("count", [1, 299, 300, 301, 1000, 12345])
def test_thinned_curves_keep_ends_and_extremes(count):
    values = np.random.default_rng(count).standard_normal(count)
    kept = thinned(values, 300)
    assert len(kept) <= 300
    assert (np.diff(kept) > 0).all()
    assert {0, count - 1, values.argmin(), values.argmax()} <= set(kept)
    gaps = np.diff(kept)
    assert gaps.max(initial=0) <= 2 * -(-count // 149)  # no stretch is left out


def test_all_curves_have_a_common_bound():
    few, many = [run("few", 0, 3)], [run(str(seed), seed, 3, extra=70, rows=3) for seed in range(60)]
    assert points_of(few, columns_of(few, "val/fid")) == POINTS
    names = columns_of(many, "val/fid")
    assert len(names) == 60
    assert "val/fid" in names
    assert points_of(many, names) * 60 * 60 <= NUMBERS


def test_pictures(tmp_path):
    """Of the finished run of the seed that most variants have; a few over the time, small; a torn one is told of."""
    times = [1.5 * place for place in range(20)]
    shown, others = pictures(tmp_path / "a", times, (600, 300)), pictures(tmp_path / "b", [1, 2], grey=150)
    shown[-1][1].write_bytes(shown[-1][1].read_bytes()[:500])
    runs = (
        run("0", 0, 3, state="failed", pictures={"samples": others}),
        run("1", 1, 3, pictures={"samples": others}),
        run("2", 2, 3, pictures={"samples": shown}),
    )
    others = Group("others", "squares", (run("3", 2, 9, pictures={"samples": others}),))
    made = page(tmp_path, [Group("plain", "squares", runs), others])
    one, other = made.data["pictures"]
    assert (other["seed"], [kimg for kimg, _ in other["images"]]) == (2, [1, 2])
    assert (one["seed"], one["run"]) == (2, "2")
    kimg = [at for at, _ in one["images"]]
    assert len(kimg) == 11
    assert kimg[0] == 0
    assert np.diff(kimg).max() <= 3
    for _, uri in one["images"]:
        kind, text = uri.split(",")
        image = Image.open(BytesIO(b64decode(text)))
        assert kind == "data:image/webp;base64"
        assert image.size == (448, 224)
        assert np.asarray(image).mean() < 60
    assert len(made.data["problems"]) == 1
    assert str(shown[-1][1]) in made.data["problems"][0]


def test_a_picture_of_few_bytes(tmp_path):
    ((_, path),) = pictures(tmp_path, [0], (60, 60), grey=100)
    Image.open(path).resize((900, 900), Image.Resampling.NEAREST).save(path)
    text = thumbnail(path, 4000).split(",")[1]
    assert 1000 < len(b64decode(text)) <= 4000


def test_no_picture_at_all(tmp_path):
    (tmp_path / "0.png").write_text("<svg onload=alert(1)>")
    with pytest.raises(OSError, match="identify"):
        thumbnail(tmp_path / "0.png", 4000)


def told(*groups, mode="min"):
    return [" ".join(one) for one in headlines(summarise(groups, mode=mode), "val/fid", mode)]


def test_headlines_say_which_is_best_how_sure_and_at_what_cost():
    good, close, bad = group("good", [3, 3.1, 3.2]), group("close", [3.1, 3.2, 3.3]), group("bad", [9, 9.1, 9.2])
    single = group("single", [4])
    assert told(good, bad) == [
        "On squares, good is best of 2 variants, FID 3.100 with a 95\u00a0% interval of 2.852 to 3.348 over 3 seeds "
        "(lower is better). All others did worse, beyond the intervals. A run of good took 2 hours."
    ]
    assert "bad is best of 2 variants, FID 9.100" in told(good, bad, mode="max")[0]
    assert "good has the best mean of 3 variants" in told(bad, close, good)[0]
    assert "don't tell it apart from close: the intervals overlap. The other one did worse" in told(bad, close, good)[0]
    assert "Open, for a single seed: single." in told(good, single)[0]
    assert "4 from a single seed (lower is better). One seed cannot tell" in told(single, bad)[0]
    assert "On squares, good reaches FID 3.100" in told(good)[0]
    running = Group("new", "circles", (run("new", 0, 3, state="running"),))
    assert told(good, running)[1] == "On circles, no finished run tells its FID yet (1 running). "
    assert told() == []


def test_headlines_agree_with_the_p_that_is_shown():
    """Intervals just touch where p is about 0.004, so there are overlaps with a small p, which are no ties."""
    near = [group("good", [3, 3.1, 3.2]), group("near", [3.3, 3.4, 3.5])]
    assert 0.01 < summarise(near)[1].p < 0.05
    assert "unsure whether near did worse: the intervals overlap, but p is below 0.05 (not" in told(*near)[0]
    assert "tell it apart" not in told(*near)[0]
    wide = group("wide", [1, 3, 8.9])  # has the best mean, but only narrow is surely better than worst
    narrow, worst = group("narrow", [4.4, 4.5, 4.6]), group("worst", [5.4, 5.5, 5.6])
    lines = summarise([wide, narrow, worst])
    assert [one.rank for one in lines] == [1, 1, 2]
    assert lines[2].p > 0.5
    assert "apart from narrow and worst: the intervals overlap." in told(wide, narrow, worst)[0]
    assert "did worse" not in told(wide, narrow, worst)[0]


def test_headlines_tell_of_seeds_that_are_missing():
    left, bad = group("left", [3, 3.1]), group("bad", [9, 9.1])
    ended = [run("left", seed, 99, state=state) for seed, state in enumerate(("failed", "stopped", "running"), 2)]
    left = Group("left", "squares", (*left.runs, *ended))
    assert "Runs that failed or were stopped, which no mean counts: left 2 of 5. A run" in told(left, bad)[0]


def test_protocol_in_words():
    assert protocol_words(MADE | {"resize": "none", "pairs": 3}) == (
        "200 fakes against 100 test images; squares at 8x8; network small; averaged generator (EMA); sha256 abababab; "
        "resize none; pairs 3"
    )
    assert protocol_words({"ema": False}) == "generator as trained, not averaged"


def test_progress_counts_each_run_once(tmp_path, monkeypatch):
    bars = []
    monkeypatch.setattr("lit_gans.comparison.page.tqdm", lambda **given: bars.append(tqdm(**given)) or bars[-1])
    page(tmp_path, [group("plain", [3, 4, 5]), group("other", [3, 4])])
    (bar,) = bars
    assert (bar.total, bar.n, bar.unit) == (5, 5, "run")


def test_without_plotly(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(UserError, match=r"pip install 'lit-gans\[compare\]'"):
        page(tmp_path, [group("plain", [3])])
    assert not any(tmp_path.iterdir())


def test_needs_no_torch():
    script = "import lit_gans.comparison.page, sys; assert not {'torch', 'lightning', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[1])
