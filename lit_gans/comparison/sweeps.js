// Sweeps: parallel coordinates of options and metric, and what the options have to do with it.

// Cividis, which the colour-blind see as others do.
const CIVIDIS = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];

function shade(part) {
  const at = Math.min(0.999, Math.max(0, part)) * (CIVIDIS.length - 1), low = Math.floor(at);
  const mixed = CIVIDIS[low].map((value, place) => Math.round(value + (CIVIDIS[low + 1][place] - value) * (at - low)));
  return `rgb(${mixed.join(",")})`;
}

// Options with two values or more among the rows: by importance, at most eight.
function differing({rows, options, importance}) {
  const values = (name) => new Set(rows.map((row) => data.groups[row.group].options[name]));
  const order = (name) => (importance.findIndex(({option}) => option === name) + 1 || Infinity);
  return options.filter((name) => values(name).size > 1).sort((one, other) => order(one) - order(other)).slice(0, 8);
}

// Where values stand on an axis from 0 to 1, and what is written beside it.
function dimension(values) {
  const known = values.filter((value) => value !== undefined && value !== null);
  if (known.every((value) => typeof value === "number")) {
    let [low, high] = [Math.min(...known), Math.max(...known)];
    const log = low > 0 && high / low >= 20, to = log ? Math.log10 : (value) => value;
    [low, high] = [to(low), to(high)];
    const place = (value) => (high > low ? (to(value) - low) / (high - low) : 0.5);
    const distinct = [...new Set(known)];
    const even = log ? decades(low, high) : ticks(low, high);
    const marked = distinct.length <= 6 || even.length < 2 ? distinct.slice(0, 6) : even;
    const marks = apart(marked.sort((one, other) => one - other), place, 0.05);
    return {place, marks: marks.map((value) => [place(value), number(value, 3)])};
  }
  const choices = [...new Set(known.map(String))].sort();
  const place = (value) => (choices.length > 1 ? choices.indexOf(String(value)) / (choices.length - 1) : 0.5);
  return {place, marks: choices.map((choice) => [place(choice), choice])};
}

function parallel({rows}, options) {
  const sign = data.mode === "min" ? 1 : -1;
  const judged = rows.filter((row) => row.last[0] !== null).sort((one, other) => sign * (one.last[0] - other.last[0]));
  const axes = options.map((name) => [name, (row) => data.groups[row.group].options[name]]);
  axes.push([title(data.metric), (row) => row.last[0]]);
  const dimensions = axes.map(([, value]) => dimension(judged.map(value)));
  const line = (row, order) => {
    const opacity = state.on.has(labelOf(row.group)) ? 0.9 : 0.12;
    const given = axes.map(([, value]) => value(row)), part = order / Math.max(1, judged.length - 1);
    const color = shade(dark.matches ? 1 - part : part);  // dark on paper, light in the dark: the best
    return {
      type: "scatter", mode: "lines+markers", x: axes.map((_, place) => place), marker: {size: 5},
      y: given.map((value, place) => (value === undefined || value === null ? null : dimensions[place].place(value))),
      opacity, meta: opacity, unselected: {marker: {opacity: 1}}, line: {width: 2, color},
      hovertemplate: `<b>${short(labelOf(row.group))}</b><br>${number(row.last[0])}<extra></extra>`,
    };
  };
  const rule = {type: "line", y0: 0, y1: 1, layer: "below", line: {color: ink("--soft"), width: 1}};
  const rules = axes.map((_, place) => ({...rule, x0: place, x1: place}));
  const marks = dimensions.flatMap(({marks: found}, place) => found.map(([y, text]) => ({
    x: place, y, text: plain(cut(text, 16)), showarrow: false, xanchor: place === axes.length - 1 ? "left" : "right",
    xshift: place === axes.length - 1 ? 7 : -7, font: {size: 11, color: ink("--soft")}, bgcolor: ink("--paper"),
  })));
  const names = axes.map(([name], place) => ({
    x: place, y: 1.09, showarrow: false, font: {size: 11.5},
    text: `<b>${plain(cut(name.replace(/^(model|data)\./, ""), 16))}</b>`,
  }));
  return {
    traces: judged.map(line),
    layout: {
      shapes: rules, annotations: [...marks, ...names], margin: {l: 110, r: 60, t: 16, b: 16},
      dragmode: !matchMedia("(pointer: coarse)").matches && "select",  // a finger scrolls
      newselection: {line: {color: ink("--mark"), width: 2}},
      xaxis: {visible: false, range: [-0.15, axes.length - 0.85], fixedrange: true},
      yaxis: {visible: false, range: [-0.06, 1.16], fixedrange: true},
    },
    config: {modeBarButtons: [["toImage"]]},
    selected: brush,
  };
}

// Lines that miss a box where it covers an axis fade.
function brush(drawn) {
  const boxes = (drawn.layout.selections ?? []).map(({x0, x1, y0, y1}) => [[x0, x1], [y0, y1]]);
  const within = (at, ends) => at !== null && Math.min(...ends) <= at && at <= Math.max(...ends);
  const kept = ({y}) => boxes.every(([xs, ys]) => y.every((at, place) => !within(place, xs) || within(at, ys)));
  const opacity = drawn.data.map((line) => (kept(line) ? line.meta : 0.04));
  // What is drawn anew tells of its boxes again.
  if (drawn.data.some((line, place) => line.opacity !== opacity[place])) Plotly.restyle(drawn, {opacity});
}

function importanceTable({importance}) {
  const bar = (part, className = "") => {
    const made = element("span", {className: `bar ${className}`});
    made.style.width = percent(100 * part);
    return made;
  };
  const rows = importance.slice(0, 12).map(({option, importance: share, correlation}) => {
    const signed = element("div", {className: "signed"});
    if (correlation !== null) {
      const made = bar(Math.abs(correlation) / 2, correlation < 0 ? "minus" : "");
      made.style.left = percent(50 + Math.min(0, correlation) * 50);
      signed.append(made);
    }
    return element("tr", {}, element("th", {scope: "row"}, option), element("td", {className: "share"}, bar(share)),
      cell(`${Math.round(100 * share)} %`), element("td", {}, signed),
      cell(correlation === null ? "choice" : correlation.toFixed(2)));
  });
  return element("div", {className: "importance"}, element("h3", {}, `What goes with ${title(data.metric)}`),
    table(["option", "importance", "", "rank correlation", ""], rows),
    note("Importance: share in a random forest fitted to the order of the finished runs, so that no single value "
      + "outweighs the others. Rank correlation (Spearman): right means the metric grows with the option. Both tell of "
      + "association in these runs, not of cause."));
}
