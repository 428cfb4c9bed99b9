// What is drawn: curves with bands, cost, options.

const last = (list) => list[list.length - 1];

function interpolated(x, xs, ys) {
  if (x <= xs[0]) return ys[0];
  if (x >= last(xs)) return last(ys);
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  return ys[low] + ((ys[high] - ys[low]) * (x - xs[low])) / (xs[high] - xs[low]);
}

function curve(run, metric, axis = state.axis) {
  const found = run.series[data.columns.indexOf(metric)];
  if (!found) return null;
  const kimg = run.xs[found[0]];
  if (axis === "kimg") return {x: kimg, y: found[1]};
  const across = curve(run, axis, "kimg");
  return across && {x: kimg.map((at) => interpolated(at, across.x, across.y)), y: found[1]};
}

// Only numbers of one dataset and one protocol share a plot.
function facets(metric) {
  const found = new Map();
  for (const run of data.runs) {
    if (!curve(run, metric, "kimg")) continue;
    const dataset = data.groups[run.group].dataset, protocol = run.protocols[metric] ?? "";
    const name = JSON.stringify([dataset, protocol]);
    if (!found.has(name)) found.set(name, {dataset, protocol, runs: []});
    found.get(name).runs.push(run);
  }
  return [...found.values()];
}

function band(curves) {
  const [{x: first}] = curves;
  let grid = first;
  if (curves.some(({x}) => x.length !== first.length || x.some((at, place) => at !== first[place]))) {
    const low = Math.max(...curves.map(({x}) => x[0])), high = Math.min(...curves.map(({x}) => last(x)));
    const steps = Math.min(200, Math.max(...curves.map(({x}) => x.length)));
    grid = high > low ? Array.from({length: steps}, (_, step) => low + ((high - low) * step) / (steps - 1)) : [];
  }
  return grid.map((at) => {
    const values = curves.map(({x, y}) => interpolated(at, x, y)), n = values.length;
    const mean = values.reduce((sum, value) => sum + value, 0) / n;
    const range = [Math.min(...values), Math.max(...values)];
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1));
    const half = (data.t[n] * deviation) / Math.sqrt(n);
    return {at, mean, range, interval: n > 2 ? [mean - half, mean + half] : range};  // two have one of no use
  });
}

// Finished runs with a number, as long as the longest; of several of one seed that with the latest, as in the tables.
function counted(runs, metric) {
  const end = (run) => last(curve(run, metric, "kimg").x);
  const ended = runs.filter(({state: name}) => name === "finished").sort((one, other) => end(one) - end(other));
  const asked = last(ended)?.length, done = ended.filter(({length}) => !asked || !length || length === asked);
  return [...new Map(done.map((run) => [run.seed ?? run.name, run])).values()];
}

function curveTraces(facet, metric, log) {
  const shaded = [], lines = [], positive = (value) => (log && value <= 0 ? null : value);
  for (const label of [...state.on].sort((one, other) => other - one)) {
    const runs = facet.runs.filter((run) => labelOf(run.group) === label && curve(run, metric));
    const finished = counted(runs, metric);
    const shown = finished.length > 0 ? finished : runs;
    if (shown.length === 0) continue;
    const points = band(shown.map((run) => curve(run, metric)));
    if (shown.length > 1 && state.band) shaded.push(bandTrace(points, label, log));
    const [dash] = DASHES[round(label)];
    const what = shown.length > 1 ? `mean of ${shown.length}` : `${plain(shown[0].name)}, ${shown[0].state}`;
    const x = points.map(({at}) => at), means = points.map(({mean}) => positive(mean));
    lines.push(lineTrace(x, means, label, what, {
      mode: points.length <= 25 ? "lines+markers" : "lines", marker: {symbol: SYMBOLS[round(label)], size: 5},
      line: {color: colour(label), width: 2, dash},
    }));
    if (finished.length === 0) lines.push(openEnd(x, means, label, what));
    for (const run of state.single || points.length === 0 ? runs : []) {
      const {x, y} = curve(run, metric), values = y.map(positive), what = `${plain(run.name)}, ${run.state}`;
      lines.unshift(lineTrace(x, values, label, what, {
        mode: x.length > 1 ? "lines" : "markers", opacity: 0.55, line: {color: colour(label), width: 1, dash},
      }));
      if (run.state !== "finished") lines.unshift(openEnd(x, values, label, what));
    }
  }
  return [...shaded, ...lines];
}

function lineTrace(x, y, label, what, style) {
  const hovertemplate = `<b>${plain(data.labels[label])}</b><br>${what}<br>%{x:.5~g}: %{y:.5~g}<extra></extra>`;
  return {type: "scatter", x, y, hovertemplate, marker: {color: colour(label)}, ...style};
}

// A ring where something unfinished ends for now; dashes tell variants of one colour apart.
function openEnd(x, y, label, what) {
  const marker = {symbol: "circle-open", size: 9, color: colour(label), line: {width: 2}};
  return lineTrace(x.slice(-1), y.slice(-1), label, what, {mode: "markers", marker});
}

function bandTrace(points, label, log) {
  const least = Math.min(...points.map(({range}) => range[0]).filter((value) => value > 0)) / 2;
  const edge = (value) => (log ? Math.max(value, least) : value);
  const [low, high] = [0, 1].map((side) => points.map((point) => edge(point[state.band][side])));
  const x = points.map(({at}) => at);
  return {
    type: "scatter", mode: "lines", fill: "toself", x: [...x, ...x.toReversed()], y: [...high, ...low.toReversed()],
    line: {width: 0}, fillcolor: `${colour(label)}2e`, hoverinfo: "skip",
  };
}

// Marks of a logarithmic axis in full: 10, 20, 50.
function marks(log, ratio) {
  if (!log) return {};
  if (ratio > 200) return {minorloglabels: "none"};
  return {dtick: ratio < 5 ? "D1" : "D2", minorloglabels: "complete", tickformat: ".4~g"};
}

function curves(facet, metric) {
  const log = state.logY && spread(metric) > (metric === state.metric ? 0 : 20);
  const type = (on) => (on ? "log" : "linear");
  const yaxis = {type: type(log), ...marks(log, spread(metric))};
  if (/accuracy/.test(metric) && !log) yaxis.range = [-0.04, 1.04];
  return {
    traces: curveTraces(facet, metric, log),
    layout: {xaxis: {title: {text: AXES[state.axis]}, type: type(state.logX), ...marks(state.logX, 100)}, yaxis},
  };
}

const rowsOn = (rows) => rows.filter((row) => state.on.has(labelOf(row.group)));

function bars({rows}, key, written = (value) => number(value, 3)) {
  const known = rowsOn(rows).filter((row) => row[key] !== null).reverse();
  return {
    traces: known.length === 0 ? [] : [{
      type: "bar", orientation: "h", x: known.map((row) => row[key]), y: known.map((_, place) => place),
      marker: {color: known.map((row) => colour(labelOf(row.group)))}, textposition: "auto", textangle: 0,
      text: known.map((row) => written(row[key])), hoverinfo: "skip",
    }],
    layout: {
      height: 12 + 26 * known.length, margin: {l: 50, r: 12, t: 4, b: 4}, bargap: 0.25,
      xaxis: {rangemode: "tozero", visible: false},
      yaxis: {tickvals: known.map((_, place) => place), ticktext: known.map((row) => short(labelOf(row.group)))},
    },
    config: {staticPlot: true},
  };
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const short = (label) => plain(cut(data.labels[label], 28));

// Each run, and the means, of quality against hours.
function tradeOff({dataset, protocol, rows}) {
  const traces = [];
  for (const row of rowsOn(rows)) {
    const label = labelOf(row.group);
    const runs = finishedOf(row, protocol).filter((run) => run.hours !== null && curve(run, data.metric, "kimg"));
    const at = (run) => last(curve(run, data.metric, "kimg").y);
    traces.push({
      type: "scatter", mode: "markers", x: runs.map((run) => run.hours), y: runs.map(at), opacity: 0.6,
      marker: {color: colour(label), size: 6}, text: runs.map((run) => plain(run.name)),
      hovertemplate: "%{text}<br>%{x:.3~g} h: %{y:.5~g}<extra></extra>",
    });
    if (row.hours === null || row.last[0] === null) continue;
    const [mean, low, high] = row.last, interval = {array: [high - mean], arrayminus: [mean - low]};
    traces.push(lineTrace([row.hours], [mean], label, "mean", {
      mode: "markers",
      marker: {color: colour(label), size: 12, symbol: SYMBOLS[round(label)]},
      error_y: {visible: low !== null, ...interval, color: colour(label), thickness: 1.5},
    }));
  }
  const means = traces.flatMap(({y}) => y), ratio = Math.max(...means) / Math.min(...means);
  const log = state.logY && spread(data.metric) > 0 && ratio > 5;
  return {
    traces: traces.filter(({x}) => x.length > 0),
    layout: {
      xaxis: {title: {text: "hours of a run"}},
      yaxis: {title: {text: plain(title(data.metric))}, type: log ? "log" : "linear", ...marks(log, ratio)},
    },
  };
}
