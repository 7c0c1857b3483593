// Curves over one shared time axis: hover, drag to zoom, keys, and what the visible part returned.
const MARGIN = { left: 58, right: 14, top: 12, bottom: 24 };
const LOG_FROM = 8; // from this ratio of highest to lowest equity on, equal percentages get equal heights

const ticks = (low, high, count) => {
  const rough = (high - low) / count;
  if (!(rough > 1e-300)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * (1 - 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i += 1) found.push(i * step);
  return found;
};
const logTicks = (low, high) => {
  const found = [];
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p += 1) {
    for (const m of [1, 2, 5]) found.push(m * 10 ** p);
  }
  const inside = found.filter((v) => v >= low && v <= high);
  return inside.length > 1 ? inside : ticks(low, high, 4);
};
const timeTicks = (from, to, room) => {
  const days = (to - from) / 86400;
  if (days < 75) {
    const step = [900, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600].find((s) => (to - from) / s <= room) ?? 1209600;
    const found = [];
    for (let t = Math.ceil(from / step) * step; t <= to; t += step) {
      found.push([t, step < 86400 && t % 86400 ? stamp(t, true).slice(11) : stamp(t).slice(5)]);
    }
    return found;
  }
  const step = [1, 2, 3, 6, 12, 24, 60, 120, 240].find((s) => days / 30.44 / s <= room) ?? 600;
  const first = new Date(from * 1000);
  const found = [];
  for (let m = first.getUTCFullYear() * 12 + first.getUTCMonth(); ; m += 1) {
    const at = Date.UTC(Math.floor(m / 12), m % 12, 1) / 1000;
    if (at > to) return found;
    if (m % step === 0 && at >= from) found.push([at, m % 12 === 0 ? stamp(at).slice(0, 4) : new Date(at * 1000).toLocaleString("en-US", { month: "short", timeZone: "UTC" })]);
  }
};

// Rows of [seconds, value ..] as columns: in order of time, each time once, what is no number left out.
const tidy = (columns, rows) => {
  const whole = rows.filter((row) => known(row[0]) && known(row[1])).sort((a, b) => a[0] - b[0]);
  const once = whole.filter((row, i) => i === whole.length - 1 || whole[i + 1][0] !== row[0]);
  return Object.fromEntries(columns.map((name, place) => [name, once.map((row) => row[place])]));
};

const charts = (host, series, panels, marks) => {
  const { t } = series;
  const last = t.length - 1;
  const fine = t.some((at) => at % 86400) && (t[last] - t[0]) / Math.max(last, 1) < 72000;
  let from = t[0], to = t[last], cursor = null, drag = null, log = null;
  const say = make("output", { class: "readout", "aria-live": "polite" });
  const bars = make("div", { class: "chartbar" });
  const boxes = panels.map((panel) => make("div", { class: "panel", tabindex: 0, role: "img", "aria-label": panel.label }));
  host.replaceChildren(bars, say, ...boxes.flatMap((box, i) => [make("h3", {}, panels[i].title), box]),
    make("p", { class: "hint" }, "Drag to zoom, double-click for all. With a curve focused: arrows move, + and \u2212 zoom, 0 shows all."));

  const near = (at) => {
    let low = 0, high = last;
    while (low < high) { const mid = (low + high) >> 1; t[mid] < at ? low = mid + 1 : high = mid; }
    return low > 0 && at - t[low - 1] < t[low] - at ? low - 1 : low;
  };
  const view = () => {
    let first = near(from), end = near(to);
    if (t[first] < from && first < end) first += 1;
    if (t[end] > to && end > first) end -= 1;
    return [first, Math.max(end, first)];
  };
  const zoomed = () => from > t[0] || to < t[last];
  const show = (a, b) => {
    const least = t[last] > t[0] ? (t[last] - t[0]) / Math.max(last, 1) * 2 : 1;
    if (b - a < least) { const middle = (a + b) / 2; a = middle - least / 2; b = middle + least / 2; }
    from = Math.max(a, t[0]); to = Math.min(b, t[last]); cursor = null;
    draw();
  };
  const around = (factor) => {
    const middle = cursor === null ? (from + to) / 2 : t[cursor];
    show(middle - (middle - from) * factor, middle + (to - middle) * factor);
  };

  const inside = (equity, first, end) => {
    let peak = equity[first], worst = 0;
    for (let i = first; i <= end; i += 1) { peak = Math.max(peak, equity[i]); worst = Math.max(worst, 1 - equity[i] / peak); }
    return `${percent(equity[end] / equity[first] - 1)}, max drawdown ${percent(-worst)}`;
  };
  const read = () => {
    const [first, end] = view();
    const at = cursor ?? end;
    const parts = panels.map((panel) => `${panel.short} ${panel.form(series[panel.key][at])}`);
    const span = zoomed() ? `   In view, ${stamp(t[first], fine)} to ${stamp(t[end], fine)}: ${inside(series.equity, first, end)}` : "";
    say.textContent = `${stamp(t[at], fine)}   ${parts.join("   ")}${span}`;
  };

  const draw = () => {
    const wide = Math.max(host.clientWidth, 280);
    panels.forEach((panel, place) => boxes[place].replaceChildren(plot(panel, wide, place === panels.length - 1)));
    bars.replaceChildren(...buttons());
    read();
  };
  const plot = (panel, wide, labelled) => {
    const [first, end] = view();
    const tall = panel.height + (labelled ? MARGIN.bottom : 8);
    const values = series[panel.key].slice(first, end + 1);
    const numbers = values.filter(known);
    const others = (panel.behind ?? []).flatMap(({ rows }) => rows.filter(([at]) => at >= from && at <= to).map(([, value]) => value)).filter(known);
    const all = [...numbers, ...others, ...(panel.floor ?? [])];
    let low = Math.min(...all), high = Math.max(...all);
    if (!numbers.length) [low, high] = [0, 1];
    const logged = panel.log && low > 0 && (log ?? high / low >= LOG_FROM);
    const pad = (high - low || Math.abs(high) || 1) * 0.06;
    if (logged) [low, high] = [low / 1.04, high * 1.04];
    else [low, high] = panel.floor ? [low - (low < 0 ? pad : 0), high + (high > 0 ? pad : 0)] : [low - pad, high + pad];
    const bottom = MARGIN.top + panel.height - 12;
    const scale = logged ? Math.log : (v) => v;
    const y = (v) => bottom - (scale(v) - scale(low)) / (scale(high) - scale(low) || 1) * (bottom - MARGIN.top);
    const x = (at) => MARGIN.left + (at - from) / (to - from || 1) * (wide - MARGIN.left - MARGIN.right);
    const svg = make("svg", { viewBox: `0 0 ${wide} ${tall}`, width: wide, height: tall, "aria-hidden": "true" });
    for (const value of logged ? logTicks(low, high) : ticks(low, high, Math.max(panel.height / 45, 2))) {
      svg.append(make("line", { x1: MARGIN.left, x2: wide - MARGIN.right, y1: y(value), y2: y(value), class: "grid" }),
        make("text", { x: MARGIN.left - 8, y: y(value) + 4, class: "end" }, panel.tick(value)));
    }
    for (const [at, label] of timeTicks(from, to, Math.max((wide - 80) / 90, 2))) {
      svg.append(make("line", { x1: x(at), x2: x(at), y1: MARGIN.top, y2: bottom, class: "grid" }));
      if (labelled) svg.append(make("text", { x: x(at), y: bottom + 18, class: "middle" }, label));
    }
    const line = (points) => "M" + points.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join("L");
    for (const { rows } of panel.behind ?? []) {
      const points = rows.filter(([at, value]) => at >= from && at <= to && value > 0).map(([at, value]) => [x(at), y(value)]);
      if (points.length > 1) svg.append(make("path", { d: line(points), class: "curve behind" }));
    }
    const runs = [];
    let open = false;
    for (let i = first; i <= end; i += 1) {
      const value = series[panel.key][i];
      if (!known(value)) { open = false; continue; }
      if (!open) runs.push([]);
      open = true;
      runs.at(-1).push([x(t[i]), y(value)]);
    }
    for (const points of runs) {
      const base = y(panel.floor ? Math.min(Math.max(0, low), high) : low);
      if (panel.area) svg.append(make("path", { d: `${line(points)}L${points.at(-1)[0].toFixed(1)},${base}L${points[0][0].toFixed(1)},${base}Z`, class: `area ${panel.tone}` }));
      svg.append(make("path", { d: line(points), class: `curve ${panel.tone}` }));
    }
    if (panel.base !== undefined && panel.base >= low && panel.base <= high) {
      svg.append(make("line", { x1: MARGIN.left, x2: wide - MARGIN.right, y1: y(panel.base), y2: y(panel.base), class: "base" }));
    }
    if (panel.marks) {
      for (const mark of marks.filter((one) => one.t >= from && one.t <= to)) {
        svg.append(make("circle", { cx: x(mark.t), cy: y(series.equity[near(mark.t)]), r: 2.6, class: `mark ${mark.gain ? "up" : "down"}` }));
      }
    }
    const hair = make("line", { y1: MARGIN.top, y2: bottom, class: "hair", visibility: "hidden" });
    const dot = make("circle", { r: 3.5, class: `dot ${panel.tone}`, visibility: "hidden" });
    const band = make("rect", { y: MARGIN.top, height: bottom - MARGIN.top, class: "select", visibility: "hidden" });
    svg.append(band, hair, dot);
    svg.point = () => {
      const value = cursor === null ? null : series[panel.key][cursor];
      const seen = cursor !== null && t[cursor] >= from && t[cursor] <= to;
      hair.setAttribute("visibility", seen ? "visible" : "hidden");
      dot.setAttribute("visibility", seen && known(value) ? "visible" : "hidden");
      if (seen) { hair.setAttribute("x1", x(t[cursor])); hair.setAttribute("x2", x(t[cursor])); }
      if (seen && known(value)) { dot.setAttribute("cx", x(t[cursor])); dot.setAttribute("cy", y(value)); }
      band.setAttribute("visibility", drag && drag.to !== undefined ? "visible" : "hidden");
      if (drag && drag.to !== undefined) {
        band.setAttribute("x", Math.min(x(drag.from), x(drag.to)));
        band.setAttribute("width", Math.abs(x(drag.to) - x(drag.from)));
      }
    };
    svg.time = (event) => {
      const box = svg.getBoundingClientRect();
      const share = ((event.clientX - box.left) / box.width * wide - MARGIN.left) / (wide - MARGIN.left - MARGIN.right);
      return from + Math.min(Math.max(share, 0), 1) * (to - from);
    };
    return svg;
  };
  const point = () => { boxes.forEach((box) => box.firstChild.point()); read(); };
  const buttons = () => {
    const year = 31556952;
    const spans = [["1Y", year], ["3Y", 3 * year], ["5Y", 5 * year]].filter(([, span]) => span < t[last] - t[0]);
    const press = (label, on, act) => make("button", { type: "button", "aria-pressed": String(on), onclick: act }, label);
    const low = Math.min(...series.equity), scaled = log ?? Math.max(...series.equity) / low >= LOG_FROM;
    return [
      ...spans.map(([label, span]) => press(label, to === t[last] && Math.abs(to - from - span) < 1, () => show(t[last] - span, t[last]))),
      press("All", !zoomed(), () => show(t[0], t[last])),
      ...(low > 0 ? [press("Log", scaled, () => { log = !scaled; draw(); })] : []),
    ];
  };

  for (const box of boxes) {
    box.addEventListener("pointermove", (event) => {
      const at = box.firstChild.time(event);
      cursor = near(at);
      if (drag) drag.to = Math.abs(event.clientX - drag.x) > 4 ? at : undefined;
      point();
    });
    box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || event.pointerType === "touch") return;
      drag = { from: box.firstChild.time(event), x: event.clientX };
      box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointerup", () => {
      const done = drag;
      drag = null;
      if (done?.to !== undefined) show(Math.min(done.from, done.to), Math.max(done.from, done.to));
    });
    box.addEventListener("pointerleave", () => { if (!drag) { cursor = null; point(); } });
    box.addEventListener("dblclick", () => show(t[0], t[last]));
    box.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      around(event.deltaY < 0 ? 0.8 : 1.25);
    }, { passive: false });
    box.addEventListener("keydown", (event) => {
      const [first, end] = view();
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key];
      if (step) cursor = Math.min(Math.max((cursor ?? end) + step, first), end);
      else if (event.key === "Home") cursor = first;
      else if (event.key === "End") cursor = end;
      else if (event.key === "+" || event.key === "=") return around(0.6);
      else if (event.key === "-") return around(1.6);
      else if (event.key === "0" || event.key === "Escape") return show(t[0], t[last]);
      else return;
      event.preventDefault();
      point();
    });
  }
  let width = 0;
  new ResizeObserver(() => { if (host.clientWidth !== width) { width = host.clientWidth; draw(); } }).observe(host);
  draw();
};
