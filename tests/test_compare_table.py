import csv
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from lit_gans.comparison.statistics import estimate, summarise
from lit_gans.comparison.table import amount, as_csv, as_json, as_markdown, as_text
from lit_gans.comparison.text import described
from tests.test_compare_statistics import group, run, seeds

COST = {"cost/hours": np.array([0.5, 1.5])}


def lines():
    costly = group("slow", *(run([9, 5 + seed], seed, **COST) for seed in range(3)), run([9], 3, state="failed"))
    return summarise([costly, seeds("fast", 1, 2, 3), seeds("one", 8), group("none", run([3], 0, state="running"))])


def test_the_terminals_table():
    text = as_text(lines(), "val/fid", "min", 100).splitlines()
    assert text[0] == "digits, val/fid (less is better), protocol aa"
    assert [re.split(r"  +", line) for line in text[1:6]] == [
        ["rank", "variant", "last", "best", "p", "seeds", "unfinished", "kimg", "hours"],
        ["1", "fast", "2.0 ± 2.5", "2.0 ± 2.5", "-", "3", "-", "2", "-"],
        ["1", "slow", "6.0 ± 2.5", "6.0 ± 2.5", "0.008", "3", "1 failed", "2", "1.5"],
        ["-", "one", "8", "8", "-", "1", "-", "2", "-"],
        ["-", "none", "-", "-", "-", "0", "1 running", "-", "-"],
    ]
    places = {line.index(word) for line, word in zip(text[1:3], ("last", "2.0"), strict=True)}
    assert len(places) == 1


def test_costs_give_way_to_long_names():
    name = "gan " + "x" * 20
    columns = {"cost/hours": np.ones(1), "cost/memory_gib": np.ones(1), "speed/images_per_second": np.ones(1)}
    made = [group(name, *(run([100 + seed], seed, **columns) for seed in range(3)))]
    for longer in range(0, 50, 7):
        text = as_text(summarise([*made, seeds("y" * longer, 200, 300)]), "val/fid", "min", 100)
        assert max(map(len, text.splitlines())) <= 100
    assert "GiB" in as_text(summarise(made), "val/fid", "min")
    long = as_text(summarise([seeds("z" * 120, 1, 2)]), "val/fid", "min", 100)
    assert "z" * 120 in long
    assert "kimg" not in long


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], ""),
        ([12.34567], "12.35"),
        ([1, 1, 1], "1"),
        ([212.17, 210.99], "212 ± 7"),
        ([0.00012, 0.00013, 0.00014], "0.000130 ± 0.000025"),
        ([10_000, 20_000], "15000 ± 63531"),
    ],
)
def test_a_mean_has_the_digits_that_mean_something(values, shown):
    said = amount(estimate(values))
    assert said == shown or shown == "212 ± 7" and said == f"211.6 ± {math.tan(0.475 * math.pi) * 0.59:.1f}"


def test_unlike_protocols_and_datasets_stand_in_tables_of_their_own():
    mixed = group("mixed", run([3], 0), run([4], 1, made="bb"))
    parts = as_text(summarise([mixed, group("gan", run([1], 0), dataset="mnist")]), "val/fid", "min").split("\n\n")
    heads = [part.splitlines()[0] for part in parts]
    assert [re.sub(", val/fid.*protocol", "", head) for head in heads[:3]] == ["digits aa", "digits bb", "mnist aa"]
    assert [len(part.splitlines()) for part in parts[:3]] == [3, 3, 3]


def test_csv_has_the_numbers_in_full():
    made = lines()
    rows = list(csv.DictReader(as_csv(made, [], "val/fid", "min").splitlines()))
    assert [row["variant"] for row in rows] == ["fast", "slow", "one", "none"]
    for row, one in zip(rows, made, strict=True):
        for name, value in {"last": one.last.mean, "last_low": one.last.low, "best_high": one.best.high}.items():
            assert row[name] == ("" if math.isnan(value) else str(value))
        assert row["p"] == ("" if one.p is None else str(one.p))
        assert [int(row[state]) for state in ("finished", "failed")] == [one.last.n, one.states["failed"]]
    assert [row["hours"] for row in rows] == ["", "1.5", "", ""]
    assert [row["rank"] for row in rows] == ["1", "1", "", ""]


def test_json_has_everything():
    def refuse(constant):
        raise AssertionError(constant)

    told = json.loads(as_json(lines(), ["torn"], "val/fid", "min"), parse_constant=refuse)
    assert (told["metric"], told["mode"], told["tables"][0]["protocol"]) == ("val/fid", "min", {"hash": "aa"})
    assert told["problems"] == ["torn"]
    fast, slow, one, none = told["tables"][0]["variants"]
    assert fast["last"] == 2
    assert (one["last_low"], one["rank"], none["last"]) == (None, None, None)
    assert [(run["seed"], run["state"], run["last"], run["best"]) for run in slow["runs"]] == [
        (0, "finished", 5, 5),
        (1, "finished", 6, 6),
        (2, "finished", 7, 7),
        (3, "failed", 9, 9),
    ]
    assert slow["runs"][3]["reason"] == "burst"
    diverged = summarise([group("x", run([1e308, 1e308], 0), run([1e308], 1))])
    json.loads(as_json(diverged, [], "val/fid", "min"), parse_constant=refuse)


HOSTILE = "a|b <img src=x onerror=alert(1)> [l](javascript:x) `c` *d*\n| e \x1b[2J & \\|"


def test_names_are_text_on_the_terminal_and_in_markdown():
    named = summarise([seeds(HOSTILE, 1, 2), group("x", run([1], 0), dataset="d|<b>\x07\n")])
    text = as_text(named, "val/fid", "min")
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert len(text.splitlines()) == 12
    page = as_markdown(named, [HOSTILE], "val/fid", "min")
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append(tag)
    parser.feed(page)
    assert found == []
    table = [line for line in page.splitlines() if line.startswith("| ")]
    counts = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table]
    assert counts[0] == counts[1] == counts[2]
    assert counts[3] == counts[4] == counts[5]
    assert not re.search(r"(?<!\\)(\\\\)*\[", page)
    assert page.splitlines()[-1].startswith("- a\\|b &lt;img")


def test_a_protocol_in_words():
    whole = {"n_fake": 5, "n_real": 6, "reference": "test", "data": "mnist", "image_size": "28x28", "resize": "none"}
    whole |= {"features": "net", "sha256": "f00", "content": "bad", "ema": True}
    assert described(whole) == "5 fakes, 6 reals (test) of mnist at 28x28, by net, resize none, ema=True"
    assert described({"data": "sbs", "n": 6, "content": "bad"}) == "data=sbs, n=6"
    assert described({}) == ""
