// Tables: variants, configs, runs, protocols, problems.

function table(heads, rows, properties = {}) {
  const head = (one) => (one instanceof Node ? one : element("th", {scope: "col"}, one));
  return element("div", {className: "wide"}, element("table", properties,
    element("thead", {}, element("tr", {}, ...heads.map(head))), element("tbody", {}, ...rows)));
}

const cell = (text, className = "number") => element("td", {className}, text);
const numbers = (...texts) => texts.map((text) => element("th", {scope: "col", className: "number"}, text));
const labelOf = (group) => data.groups[group].label;

function estimate([mean, low, high, n]) {
  if (mean === null) return cell("–");
  const digits = decimals(mean);
  const interval = low === null ? (n === 1 ? "one seed" : "") : `${low.toFixed(digits)} to ${high.toFixed(digits)}`;
  return element("td", {className: "number"}, mean.toFixed(digits), element("small", {}, interval));
}

function scale(rows) {
  const known = (list) => list.filter((value) => value !== null);
  const means = known(rows.flatMap((row) => [row.last[0], row.best[0]]));
  if (means.length === 0) return null;
  const log = Math.min(...means) > 0 && Math.max(...means) / Math.min(...means) > 20;
  const all = [...means, ...known(rows.flatMap((row) => row.last.slice(1, 3))).filter((value) => !log || value > 0)];
  let [low, high] = [Math.min(...all), Math.max(...all)];
  const to = log ? (value) => Math.log10(Math.max(value, 1e-300)) : (value) => value;  // an end below 0 lies far left
  [low, high] = [to(low), to(high)];
  const pad = (high - low || Math.abs(high) || 1) * 0.06;
  [low, high] = [low - pad, high + pad];
  const place = (value) => (100 * (to(value) - low)) / (high - low);
  return {place, ticks: log ? decades(low, high) : ticks(low, high)};
}

function ticks(low, high) {
  const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= raw);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at += 1) found.push(at * step);
  return found;
}

function decades(low, high) {
  const found = [];
  for (let power = Math.floor(low); power <= high; power += 1) {
    for (const one of high - low < 2 ? [1, 3] : [1]) found.push(one * 10 ** power);
  }
  return found.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
}

// Those of the marks, from low to high, that stand so far from the one before that texts don't overlap.
function apart(marks, place, least) {
  const kept = [];
  for (const mark of marks) {
    if (kept.length === 0 || place(mark) - place(last(kept)) > least) kept.push(mark);
  }
  return kept;
}

const percent = (value) => `${Math.min(100, Math.max(0, value)).toFixed(2)}%`;

function axisCell({place, ticks: marks}) {
  const text = (mark) => svg("text", {x: percent(place(mark)), y: "85%", "text-anchor": "middle"}, number(mark, 3));
  return element("th", {scope: "col", className: "plot", title: "dot and line: last, mean and interval; ring: best"},
    svg("svg", {"aria-hidden": "true"}, ...apart(marks, place, 25).map(text)));
}

function intervalCell(row, {place, ticks: marks}, [mean, low, high]) {
  const label = labelOf(row.group), dot = (value, hollow) => {
    const made = svg("circle", {cx: percent(place(value)), cy: "50%", r: hollow ? 3.4 : 5, "stroke-width": 1.8});
    made.dataset.colour = label;
    if (hollow) made.dataset.hollow = "1";
    return made;
  };
  const line = (from, to, width) => {
    const across = {x1: percent(place(from)), x2: percent(place(to)), y1: "50%", y2: "50%"};
    const made = svg("line", {...across, "stroke-width": width});
    made.dataset.colour = label;
    return made;
  };
  const parts = marks.map((mark) => {
    const at = percent(place(mark));
    return svg("line", {class: "axis", x1: at, x2: at, y1: 0, y2: "100%"});
  });
  if (low !== null) {
    const from = Math.max(0, place(low)), width = Math.max(0.4, Math.min(100, place(high)) - from);
    const whole = {y: 0, height: "100%", opacity: 0.13, fill: "#0072b2"};
    parts.unshift(svg("rect", {x: percent(from), width: percent(width), ...whole}));
  }
  if (row.best[0] !== null) parts.push(dot(row.best[0], true));
  if (row.last[1] !== null) parts.push(line(row.last[1], row.last[2], 2.5));
  if (row.last[0] !== null) parts.push(dot(row.last[0], false));
  return element("td", {className: "plot"}, svg("svg", {"aria-hidden": "true"}, ...parts));
}

function states(row, protocol) {
  const others = Object.entries(row.states).filter(([name]) => name !== "finished");
  const badly = finishedOf(row, protocol).filter((run) => run.badly).length;
  return element("td", {className: "number"}, String(row.last[3]),
    badly > 0 ? element("small", {className: "warn", title: BADLY}, `${badly} ended badly`) : null,
    ...others.map(([name, count]) => element("small", {className: STATES[name]}, `${count} ${name}`)));
}

// The finished runs of a line of a table.
function finishedOf({group}, protocol) {
  return data.runs.filter((run) => run.group === group && run.state === "finished"
    && (run.protocols[data.metric] ?? "") === protocol);
}

const BADLY = `Ended badly: ${data.metric} not finite at the end, or more than ${data.far} times worse than the best `
  + "that any run of the variant had. Finished all the same, they count.";
const STATES = {failed: "bad", stopped: "warn", running: "good", finished: ""};

function where({dataset, protocol}) {
  return [dataset, protocol && `protocol ${protocol.slice(0, 8)}`].filter(Boolean).join(", ") || "all runs";
}

function significance(row, rows) {
  if (row.p === null) return row === rows.find(({last}) => last[3] > 1) ? (row === rows[0] ? "best" : "reference") : "–";
  return row.p < 0.001 ? "< 0.001" : row.p.toFixed(row.p < 0.1 ? 3 : 2);
}

function bestTables() {
  const lower = data.mode === "min" ? "lower is better" : "higher is better";
  for (const one of data.tables) {
    const measure = scale(one.rows), first = one.rows.find((row) => row.last[0] !== null);
    const rows = one.rows.map((row) => {
      const label = labelOf(row.group), length = row.kimg === null ? "" : `${number(row.kimg)} kimg`;
      return element("tr", {className: row === first ? "first" : "", "data-label": label},
        cell(row.last[3] > 1 ? String(row.rank) : "–"),
        element("th", {scope: "row"}, named(label)),
        estimate(row.last),
        first ? intervalCell(row, measure, first.last) : cell(""),
        estimate(row.best),
        cell(significance(row, one.rows)),
        states(row, one.protocol),
        element("td", {className: "number"}, duration(row.hours), element("small", {}, length)),
        cell(number(row.speed, 3)),
        cell(number(row.memory, 3)));
    });
    section("best").append(
      element("h3", {}, `${title(data.metric)} on ${where(one)} (${lower})`),
      table([...numbers("rank"), "variant", ...numbers("last"), measure ? axisCell(measure) : "", ...numbers(
        "best", "p against best", "seeds", "time per run", "images/s", "memory, GiB")], rows, {className: "best"}),
      note(one.protocol ? `${data.metric}: ${data.protocols[one.protocol] || "protocol not told"}.`
        : `${data.metric}: the runs don't tell how it was made.`),
    );
  }
  if (data.tables.length === 0) section("best").append(note("No runs to compare."));
  section("best").append(note("Dot and line: mean and 95 % interval of the last value; ring: mean of the best; shaded: "
    + "the interval of the first. Equal ranks are ties. Seeds: finished runs, which alone enter the numbers."));
  if (data.runs.some((run) => run.badly)) section("best").append(note(BADLY, "note warn"));
}

function configTable() {
  const names = [...new Set(data.groups.flatMap((group) => Object.keys(group.options)))];
  if (names.length === 0) {
    section("configs").append(note("No option differs between the variants."));
    return;
  }
  const option = (group, name) => cell(shown(group.options[name]), "text");
  const several = new Set(data.groups.map((group) => group.dataset)).size > 1;
  const title = (group) => data.labels[group.label] + (several ? `, ${group.dataset}` : "");
  const across = names.length <= data.groups.length;  // the longer list downwards
  const rows = across
    ? data.groups.map((group) => element("tr", {"data-label": group.label},
      element("th", {scope: "row"}, title(group)), ...names.map((name) => option(group, name))))
    : names.map((name) => element("tr", {},
      element("th", {scope: "row"}, name), ...data.groups.map((group) => option(group, name))));
  section("configs").append(table(["", ...(across ? names : data.groups.map(title))], rows));
}

const shown = (value) => (value === undefined ? "" : typeof value === "number" ? number(value, 6) : value);

function runTable() {
  const order = ["failed", "stopped", "running", "finished"];
  const row = (run) => element("tr", {"data-label": labelOf(run.group)},
    element("th", {scope: "row", title: run.path}, run.name), cell(data.labels[labelOf(run.group)], "text"),
    cell(data.groups[run.group].dataset, "text"), cell(String(run.seed ?? "–")),
    element("td", {className: STATES[run.state]}, run.state,
      run.badly ? element("small", {className: "warn", title: BADLY}, "ended badly") : null),
    cell(number(run.kimg)), cell(run.length, "text"), cell(duration(run.hours)), cell(run.reason || run.badly, "text"));
  const heads = () => ["run", "variant", "dataset", ...numbers("seed"), "state", ...numbers("kimg"), "asked for",
    ...numbers("time"), "reason"];
  const sorted = order.map((name) => data.runs.filter((run) => run.state === name));
  const badly = sorted[3].filter((run) => run.badly), done = sorted[3].filter((run) => !run.badly);
  const open = [...sorted.slice(0, 3).flat(), ...badly];
  if (data.problems.length > 0) {
    section("runs").append(element("h3", {}, "Problems"),
      element("ul", {}, ...data.problems.map((text) => element("li", {className: "warn"}, text))));
  }
  if (open.length > 0) section("runs").append(table(heads(), open.map(row)));
  if (done.length > 0) {
    section("runs").append(element("details", {open: done.length + open.length <= 12},
      element("summary", {}, `${done.length} finished${badly.length > 0 ? " well" : ""}`),
      table(heads(), done.map(row))));
  }
  const told = order.map((name, place) => [sorted[place].length, name]).filter(([count]) => count > 0);
  const link = (text, className) => element("a", {href: "#runs", className}, text);
  const parts = told.reverse().map(([count, name]) => link(`${count} ${name}`, STATES[name]));
  if (badly.length > 0) parts[0].append(element("span", {className: "warn"}, ` (${badly.length} ended badly)`));
  const {length} = data.problems;
  if (length > 0) parts.push(link(`${length} ${length > 1 ? "problems" : "problem"}`, "warn"));
  section("counts").append(`${data.labels.length} variants, ${data.runs.length} runs: `,
    ...parts.flatMap((part, place) => (place ? [", ", part] : [part])));
}

function protocolTable() {
  const names = Object.keys(data.protocols);
  section("protocols").hidden = names.length === 0;
  section("protocols").append(table(["protocol", "metrics", "how"], names.map((name) => {
    const made = ({protocols}) => Object.keys(protocols).filter((metric) => protocols[metric] === name);
    const metrics = [...new Set(data.runs.flatMap(made))].sort().join(", ");
    return element("tr", {}, element("th", {scope: "row"}, name.slice(0, 8)), cell(metrics, "text"),
      cell(data.protocols[name], "text"));
  })));
}
