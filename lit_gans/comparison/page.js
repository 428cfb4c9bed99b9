"use strict";
// Texts of runs enter the document as text nodes and attributes, never as HTML, and plots through plain().

const data = JSON.parse(document.getElementById("data").textContent);
const AXES = {kimg: "kimg", "generator/updates": "G updates", "cost/hours": "hours"};
const MANY = 12;  // variants; of more, only the best ones are shown at first
const dark = matchMedia("(prefers-color-scheme: dark)");

const state = {
  on: new Set(data.labels.keys().filter((label) => data.labels.length <= MANY + 3 || label < MANY)),
  axis: "kimg", logX: false, logY: spread(data.metric) > 20, band: "interval", single: false, metric: data.metric,
};

// Documents

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made && !key.startsWith("aria")) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// A text that may be broken after =
function breaking(text) {
  return element("span", {}, ...text.split(/(?<==)/).flatMap((part) => [part, element("wbr")]));
}

const named = (label) => element("div", {className: "named"}, key(label), breaking(data.labels[label]));
const section = (name) => document.getElementById(name);
const note = (text, kind = "note") => element("p", {className: kind}, text);

// Plotly reads a few tags, entities and templates in its texts; there, these characters stand for themselves.
function plain(text) {
  return String(text).replace(/[&<>%$]/g, (character) => `&#${character.charCodeAt(0)};`);
}

// Numbers

function decimals(value) {
  return value ? Math.min(6, Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value))))) : 0;
}

function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const round = Number(value.toPrecision(digits)), size = Math.abs(round);
  return size >= 1000 && size < 1e7 ? round.toLocaleString("en") : String(round);
}

function duration(hours) {
  if (hours === null) return "–";
  if (hours >= 1) return `${number(hours, 3)} h`;
  return hours >= 1 / 60 ? `${number(hours * 60, 3)} min` : `${number(hours * 3600, 3)} s`;
}

function title(metric) {
  const name = metric.slice(metric.lastIndexOf("/") + 1);
  return /^(fid|is|kid|psnr|ssim|lpips)$/.test(name) ? name.toUpperCase() : name.replaceAll("_", " ");
}

function spread(metric) {
  const column = data.columns.indexOf(metric);
  let low = Infinity, high = 0;
  for (const run of data.runs) {
    for (const value of run.series[column]?.[1] ?? []) {
      if (value <= 0) return 0;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return high / low;
}

// Colours that the colour-blind tell apart (Okabe and Ito, without yellow and black), then dashes

const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#b8568f", "#c98a00", "#3f9fd8", "#6f7781"];
const DARK = ["#4aa3df", "#f0803c", "#2cc295", "#e29bc4", "#e6b02e", "#8fd0f5", "#a6aeb7"];
const DASHES = [["solid", ""], ["dash", "5 3"], ["dot", "1.5 2.5"], ["dashdot", "6 2 1.5 2"]];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up"];
const round = (label) => Math.floor(label / LIGHT.length) % DASHES.length;
const colour = (label) => (dark.matches ? DARK : LIGHT)[label % LIGHT.length];
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function key(label) {
  const [, dash] = DASHES[round(label)];
  const line = svg("line", {x1: 0, x2: 22, y1: 6, y2: 6, "stroke-width": 3, "stroke-dasharray": dash});
  line.dataset.colour = label;
  return svg("svg", {class: "key", width: 22, height: 12, "aria-hidden": "true"}, line);
}

function paint() {
  for (const drawn of document.querySelectorAll("[data-colour]")) {
    const own = colour(drawn.dataset.colour);
    drawn.setAttribute("stroke", own);
    if (drawn.tagName === "circle") drawn.setAttribute("fill", drawn.dataset.hollow ? ink("--paper") : own);
  }
}

// Panels are drawn when they come into sight, and again when something was switched

const panels = new Map();
const sight = new IntersectionObserver((entries) => {
  for (const {target, isIntersecting} of entries) panels.get(target).seen = isIntersecting;
  draw();
}, {rootMargin: "200px"});

function panel(parent, heading, make) {
  const drawn = element("div", {className: "drawn"});
  const node = element("div", {className: "panel"}, element("h3", {}, heading), drawn);
  parent.append(node);
  panels.set(node, {drawn, make, large: parent.classList.contains("large"), seen: false, stale: true});
  sight.observe(node);
  return drawn;
}

function draw(all = false) {
  for (const one of panels.values()) {
    if (!one.stale || !(one.seen || all)) continue;
    one.stale = false;
    const {traces, layout = {}, config = {}, selected} = one.make();
    one.drawn.classList.toggle("empty", traces.length === 0);
    one.drawn.style.height = traces.length > 0 && layout.height ? `${layout.height}px` : "";
    if (traces.length === 0) {
      Plotly.purge(one.drawn);
      one.drawn.replaceChildren("nothing to show: not logged, or switched off");
    } else {
      const fresh = !one.drawn.classList.contains("js-plotly-plot");
      if (fresh) one.drawn.replaceChildren();
      const displayModeBar = one.large ? "hover" : false;
      Plotly.react(one.drawn, traces, dressed(layout), {...CONFIG, displayModeBar, ...config});
      if (fresh && selected) one.drawn.on("plotly_selected", () => selected(one.drawn));
    }
  }
}

const CONFIG = {
  displaylogo: false, responsive: true, toImageButtonOptions: {format: "svg"},
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
};

function dressed(layout) {
  const line = ink("--line");
  const axis = {gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true, exponentformat: "power"};
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
    font: {color: ink("--ink"), size: 12, family: getComputedStyle(document.body).fontFamily},
    modebar: {bgcolor: "rgba(0,0,0,0)", color: ink("--soft"), activecolor: ink("--mark")},
    margin: {l: 50, r: 12, t: 6, b: 40}, ...layout,
    xaxis: {...axis, ...layout.xaxis}, yaxis: {...axis, ...layout.yaxis},
  };
}

let waiting = false;
function refresh() {
  for (const one of panels.values()) one.stale = true;
  for (const node of document.querySelectorAll("[data-label]")) {
    node.classList.toggle("off", !state.on.has(Number(node.dataset.label)));
  }
  if (!waiting) requestAnimationFrame(() => { waiting = false; draw(); });
  waiting = true;
}

function clear(parent) {
  for (const node of parent.children) {
    sight.unobserve(node);
    Plotly.purge(panels.get(node).drawn);
    panels.delete(node);
  }
  parent.replaceChildren();
}

// Switches

function buttons(name, choices) {
  const made = choices.map(([value, text]) => element("button", {
    type: "button", "aria-pressed": value === state[name], value,
    onclick: ({currentTarget}) => {
      for (const other of made) other.ariaPressed = other === currentTarget;
      state[name] = value;
      refresh();
    },
  }, text));
  return element("div", {className: "group", role: "group", "aria-label": name}, ...made);
}

function toggle(name, text) {
  return element("button", {
    type: "button", "aria-pressed": state[name], value: name,
    onclick: ({currentTarget}) => {
      state[name] = !state[name];
      currentTarget.ariaPressed = state[name];
      refresh();
    },
  }, text);
}

function switches() {
  const boxes = data.labels.map((name, label) => element("input", {
    type: "checkbox", checked: state.on.has(label),
    onchange: ({currentTarget}) => {
      if (currentTarget.checked) state.on.add(label);
      else state.on.delete(label);
      refresh();
    },
  }));
  const all = (checked) => () => {
    state.on = new Set(checked ? data.labels.keys() : []);
    for (const box of boxes) box.checked = checked;
    refresh();
  };
  section("variants").append(
    element("div", {className: "buttons"}, element("div", {className: "group"},
      element("button", {type: "button", onclick: all(true)}, "all"),
      element("button", {type: "button", onclick: all(false)}, "none"))),
    state.on.size < data.labels.length ? note(`The ${MANY} best of ${data.labels.length} are on.`) : "",
    element("div", {className: "list"}, ...boxes.map((box, label) => element("label", {className: "variant"},
      box, key(label), breaking(data.labels[label])))),
  );
  section("axes").append(
    note("over"), buttons("axis", Object.entries(AXES)),
    note("logarithmic"),
    element("div", {className: "group"}, toggle("logX", "across"), toggle("logY", "upwards")),
    note("band of seeds"),
    buttons("band", [["interval", "95 %"], ["range", "range"], ["", "none"]]),
    note("runs"), element("div", {className: "group"}, toggle("single", "single runs")),
  );
}
