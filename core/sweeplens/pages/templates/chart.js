"use strict";
// Draws one chart in a page: buttons that hide series, brushes on the axes of parallel coordinates, and runs that can be clicked.
// drawChart(place, spec, config, onRun) -> a promise; `onRun` is called with the id of a run that was clicked.
const drawChart = (() => {
  const OPTIONS = { mode: "vega-lite", ast: true, renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } };
  const isDark = (colour) => parseInt(colour.slice(1, 3), 16) < 128;
  const panelsOf = (spec) => spec.concat || spec.hconcat || spec.vconcat || [spec];
  const layersOf = (spec) => panelsOf(spec).flatMap((panel) => panel.layer || []);
  // The colours of named series, if the chart has them: the field of the rows, and the names in their order.
  const seriesOf = (spec) => {
    for (const layer of layersOf(spec)) {
      const colour = layer.encoding.color;
      const names = colour && colour.type === "nominal" && colour.legend && colour.scale && colour.scale.domain;
      if (names && names.length > 1) return { field: colour.field, names, title: [].concat(colour.legend.title || "").join(" ") };
    }
    return null;
  };
  // A brush on an axis chooses the lines that cross the axis within it.
  const chosenLines = (spec, brushes) => {
    const crossed = new Map();
    for (const row of layersOf(spec).flatMap((layer) => layer.data.values)) {
      const brush = row.line === undefined ? undefined : brushes.get(row.axis);
      if (brush && row.at >= brush[0] && row.at <= brush[1]) crossed.set(row.line, (crossed.get(row.line) || 0) + 1);
    }
    return (line) => crossed.get(line) === brushes.size;
  };
  const shownSpec = (spec, series, hidden, brushes) => {
    const chosen = brushes.size ? chosenLines(spec, brushes) : null;
    const rowsOf = (layer) => layer.data.values.filter((row) => !(series && hidden.has(row[series.field])));
    const shownLayer = (layer) => {
      const encoding = { ...layer.encoding };
      if (series && encoding.color && encoding.color.field === series.field) encoding.color = { ...encoding.color, legend: null };
      let rows = rowsOf(layer);
      if (chosen && rows.some((row) => row.line !== undefined)) {
        rows = rows.map((row) => ({ ...row, aside: !chosen(row.line) }));
        encoding.opacity = { condition: { test: "datum.aside", value: 0.04 }, value: 0.85 };
      }
      return { ...layer, encoding, data: { values: rows } };
    };
    const shownPanel = (panel) => ({ ...panel, layer: panel.layer.map(shownLayer).filter((layer) => layer.data.values.length) });
    for (const kind of ["concat", "hconcat", "vconcat"]) if (spec[kind]) return { ...spec, [kind]: spec[kind].map(shownPanel) };
    return shownPanel(spec);
  };
  const buttonsOf = (series, hidden, colours, redraw) => {
    const group = document.createElement("div");
    group.className = "series";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", `Show or hide: ${series.title || "series"}`);
    series.names.forEach((name, i) => {
      const button = document.createElement("button");
      const sign = document.createElement("span");
      sign.className = "sign";
      sign.style.background = colours[i % colours.length];
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(sign, name);
      button.addEventListener("click", () => {
        if (hidden.has(name)) hidden.delete(name);
        else if (hidden.size < series.names.length - 1) hidden.add(name);
        button.setAttribute("aria-pressed", String(!hidden.has(name)));
        redraw();
      });
      group.append(button);
    });
    return group;
  };
  // Pixels of the picture as values of its scales; the picture may be shown smaller than it is.
  const scalesOf = (view, svg) => {
    const box = svg.getBoundingClientRect();
    const ratio = svg.viewBox.baseVal.width ? box.width / svg.viewBox.baseVal.width : 1;
    const [left, top] = view.origin();
    return {
      ratio, x: view.scale("x"), y: view.scale("y"), left, top, box,
      at: (event) => [(event.clientX - box.left) / ratio - left, (event.clientY - box.top) / ratio - top],
    };
  };
  const markBrush = (place, scales, axis, range) => {
    const mark = document.createElement("div");
    const outer = place.getBoundingClientRect();
    const [high, low] = [scales.y(range[1]), scales.y(range[0])];
    mark.className = "brush";
    Object.assign(mark.style, {
      left: `${(scales.x(axis) + scales.left - 8) * scales.ratio + scales.box.left - outer.left}px`,
      top: `${(high + scales.top) * scales.ratio + scales.box.top - outer.top}px`,
      height: `${Math.max(2, low - high) * scales.ratio}px`,
    });
    place.append(mark);
    return mark;
  };
  const brushable = (place, view, brushes, redraw) => {
    const svg = place.querySelector("svg");
    const scales = scalesOf(view, svg);
    const marks = () => { for (const [axis, range] of brushes) markBrush(place, scalesOf(view, svg), axis, range); };
    let start = null;
    svg.style.touchAction = "none";
    svg.addEventListener("pointerdown", (event) => {
      const now = scalesOf(view, svg);
      const [x, y] = now.at(event);
      const axis = Math.round(now.x.invert(x));
      if (Math.abs(now.x(axis) - x) > 22 || y < now.y(1.04) || y > now.y(-0.04)) return;
      start = { axis, from: now.y.invert(y), mark: null, scales: now };
      svg.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    svg.addEventListener("pointermove", (event) => {
      if (!start) return;
      const to = start.scales.y.invert(start.scales.at(event)[1]);
      if (start.mark) start.mark.remove();
      start.range = [Math.min(start.from, to), Math.max(start.from, to)];
      start.mark = markBrush(place, start.scales, start.axis, start.range);
    });
    svg.addEventListener("pointerup", () => {
      if (!start) return;
      const { axis, range } = start;
      start = null;
      if (range && range[1] - range[0] > 0.015) brushes.set(axis, range);
      else brushes.delete(axis);
      redraw();
    });
    if (scales.box.width) marks();
  };
  return async (place, spec, config, onRun = null) => {
    const series = seriesOf(spec);
    const about = spec.usermeta || {};
    const hidden = new Set();
    const brushes = new Map();
    const canvas = document.createElement("div");
    canvas.className = "canvas";
    const hint = document.createElement("p");
    hint.className = "note";
    hint.textContent = about.kind === "parallel" ? "Drag along an axis to choose lines; click the axis to choose all again." : "";
    const runOf = (datum) => {
      const label = datum && (datum.run !== undefined ? datum.run : datum.series);
      const known = about.runs || {};
      if (label === undefined) return null;
      return known[label] !== undefined ? known[label] : datum.run !== undefined ? label : null;
    };
    const redraw = async () => {
      const shown = shownSpec(spec, series, hidden, brushes);
      const { $schema: _, ...unversioned } = shown; // the script knows one version, and warns of another
      const result = await window.vegaEmbed(canvas, { ...unversioned, config }, { ...OPTIONS, tooltip: { theme: isDark(config.background) ? "dark" : "light" } });
      canvas.querySelector("summary").setAttribute("aria-label", "Save this chart as an image");
      if (about.kind === "parallel") brushable(canvas, result.view, brushes, () => redraw());
      if (onRun) result.view.addEventListener("click", (_, item) => { const run = runOf(item && item.datum); if (run !== null) onRun(run); });
    };
    place.replaceChildren(...(series ? [buttonsOf(series, hidden, config.range.category, redraw)] : []), canvas, ...(hint.textContent ? [hint] : []));
    await redraw();
  };
})();
