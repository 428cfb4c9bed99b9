// Sections of panels, and the order in which the page is built.

const AXIS_COLUMNS = Object.keys(AXES);

function metricPanels() {
  const names = data.columns.filter((name) => !AXIS_COLUMNS.includes(name));
  const plots = element("div", {className: "plots large"});
  const show = () => {
    clear(plots);
    const found = facets(state.metric);
    for (const facet of found) panel(plots, `${state.metric}, ${where(facet)}`, () => curves(facet, state.metric));
    if (found.length === 0) plots.append(note(`No run logged ${state.metric}.`));
  };
  const select = element("select", {
    id: "metric",
    onchange: ({currentTarget}) => { state.metric = currentTarget.value; show(); },
  }, ...names.map((value) => element("option", {value}, value)));
  if (!names.includes(state.metric)) select.prepend(element("option", {value: state.metric}, state.metric));
  select.value = state.metric;
  section("curves").append(element("label", {}, "metric ", select), plots);
  show();
}

function trainingPanels() {
  const kinds = [/\/adversarial$/, /accuracy/, /gradient_norm/, /^(generator|discriminator)\//];
  const logged = data.columns.filter((name) => !name.startsWith("val/") && !AXIS_COLUMNS.includes(name));
  const names = [...new Set(kinds.flatMap((kind) => logged.filter((name) => kind.test(name))))];
  const plots = element("div", {className: "plots"});
  section("training").append(plots);
  section("training").hidden = names.length === 0;
  for (const name of names) {
    for (const facet of facets(name)) {
      const on = new Set(data.groups.map(({dataset}) => dataset)).size > 1 ? `, ${where(facet)}` : "";
      panel(plots, name + on, () => curves(facet, name));
    }
  }
}

function costPanels() {
  const kinds = [["time per run", "hours", duration], ["images/s", "speed"], ["memory, GiB", "memory"]];
  for (const one of data.tables) {
    const wide = element("div", {className: "plots large"}), plots = element("div", {className: "plots"});
    if (data.tables.length > 1) section("cost").append(element("h3", {}, where(one)));
    section("cost").append(wide, plots);
    panel(wide, `${title(data.metric)} against the hours of a run`, () => tradeOff(one));
    for (const [heading, ...what] of kinds) panel(plots, heading, () => bars(one, ...what));
  }
}

function optionPanels() {
  for (const one of data.tables) {
    const options = differing(one);
    if (options.length < 2 || one.rows.length < 4) continue;
    const plots = element("div", {className: "large"});
    section("options").append(element("h3", {}, where(one)), plots);
    const heading = `Parallel coordinates: each line is a variant, its colour the order by mean ${title(data.metric)}`;
    const drawn = panel(plots, heading, () => parallel(one, options));
    plots.append(note("Draw a box over a part of an axis: lines outside fade. With Shift held, another one; a double "
      + "click takes them away."));
    drawn.ondblclick = () => Plotly.relayout(drawn, {selections: []}).then(brush);
    drawn.style.minWidth = `${120 * (options.length + 1)}px`;  // narrower windows scroll
    if (one.importance.length > 0) plots.append(importanceTable(one));
  }
  section("options").hidden = section("options").querySelector(".panel") === null;
}

paintAll();

function paintAll() {
  bestTables();
  runTable();
  switches();
  metricPanels();
  samples();
  costPanels();
  trainingPanels();
  optionPanels();
  configTable();
  protocolTable();
  paint();
  refresh();
}

dark.addEventListener("change", () => { paint(); refresh(); });
addEventListener("beforeprint", () => draw(true));
