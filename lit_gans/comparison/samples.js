// Sample grids of all variants, by one slider over kimg.

function samples() {
  section("samples").hidden = data.pictures.length === 0;
  if (data.pictures.length === 0) return;
  const times = data.pictures.flatMap(({images}) => images.map(([kimg]) => kimg));
  const stops = [...new Set(times)].sort((one, other) => one - other);
  const shown = data.pictures.map((one) => {
    const label = labelOf(one.group);
    const image = element("img", {alt: `samples of ${data.labels[label]}`, decoding: "async"});
    const caption = element("small"), dataset = data.groups[one.group].dataset;
    const figure = element("figure", {"data-label": label}, element("figcaption", {}, named(label), caption), image);
    const told = `${dataset ? `${dataset}, ` : ""}${one.seed === null ? one.run : `seed ${one.seed}`}`;
    return {figure, show(kimg) {
      const [at, source] = one.images.findLast(([each]) => each <= kimg) ?? one.images[0];
      if (image.src !== source) image.src = source;
      caption.textContent = `${told}, ${number(at)} kimg`;
    }};
  });
  const output = element("output", {});
  const slide = () => {
    const kimg = stops[slider.value];
    output.value = `${number(kimg)} kimg`;
    for (const each of shown) each.show(kimg);
  };
  const ends = {min: 0, max: stops.length - 1, step: 1};
  const slider = element("input", {type: "range", id: "time", ...ends, oninput: slide, "aria-label": "kimg"});
  slider.value = stops.length - 1;
  section("samples").append(element("div", {className: "slider"}, slider, output),
    element("div", {className: "grids"}, ...shown.map(({figure}) => figure)),
    note("One run of each variant, the latest picture up to the time chosen. Runs of one seed and one kind of network "
      + "share their latents."));
  slide();
}
