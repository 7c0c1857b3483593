// The tear sheet: one object in (what the tool `tear_sheet` returns), sections out.
const card = (title, ...children) => make("section", {}, make("h2", {}, title), ...children);
const scroll = (...children) => make("div", { class: "scroll", tabindex: 0 }, ...children);
const cells = (tag, values) => values.map((value) => make(tag, {}, value));

const head = ({ run, statistics, lead }) => {
  const partial = statistics.standard.partial === true;
  const good = run.status === "succeeded" && !partial;
  return make("header", {}, make("h1", {}, `${run.name} v${run.version}`),
    make("span", { class: good ? "state" : "state other" }, run.status + (partial ? ", partial result" : "")),
    make("p", { class: "lead" }, lead));
};
const verdictOf = ({ verdict, audit, error }) => {
  const lines = [];
  if (error) lines.push(make("p", { class: "bad" }, error.message + (error.hint ? ` ${error.hint}` : "")));
  if (verdict) {
    const tone = { refuted: "loss-text", plausible: "gain-text" }[verdict.grade] ?? "warn-text";
    lines.push(make("p", { class: "grade" }, make("b", { class: tone }, verdict.grade)),
      make("ul", {}, (verdict.sentences ?? []).map((text) => make("li", {}, text))));
  }
  if (audit?.passed === true) lines.push(make("p", { class: "soft" }, "Look-ahead audit passed: with the future cut off or replaced by noise it decided the same."));
  return lines.length ? make("section", { class: "verdict" }, make("h2", {}, "Verdict"), ...lines) : null;
};
const shaken = ({ sensitivity }) => {
  const rows = (table, key, label) => (sensitivity?.[table] ?? []).map((row) => make("tr", {}, make("th", { scope: "row" }, label(row[key])),
    cells("td", [percent(row.total_return), amount(row.sharpe)])));
  const lines = [...rows("cost", "factor", (f) => `Costs times ${f}`), ...rows("delay", "bars", (n) => `${n} bar${n === 1 ? "" : "s"} later`)];
  if (!lines.length) return null;
  const even = known(sensitivity.break_even_bps) ? `It paid ${amount(sensitivity.cost_bps, 1)} and breaks even at ${amount(sensitivity.break_even_bps, 1)} basis points of what is traded.` : null;
  return card("What costs and delay do to it", scroll(make("table", { class: "list" }, make("thead", {}, make("tr", {}, cells("th", ["", "Total return", "Sharpe ratio"]))),
    make("tbody", {}, lines))), even && make("p", { class: "hint" }, even));
};
const notes = ({ warnings }) => (warnings.length ? make("section", { class: "notes" }, make("h2", {}, "Read this first"),
  make("ul", {}, warnings.map(({ code, message, ...facts }) => make("li", {}, make("code", {}, code ?? ""),
    ` ${message ?? ""}${Object.keys(facts).length ? ` (${plain(Object.values(facts)).slice(0, 400)})` : ""}`)))) : null);
const tiles = ({ statistics }) => make("section", { class: "tiles" }, LABELS.tiles.map(([label, name, form]) => {
  const value = statistics.standard[name];
  const tone = ["total_return", "cagr"].includes(name) && value ? (value > 0 ? "gain-text" : "loss-text") : null;
  return make("div", { class: "tile" }, make("span", {}, label), make("b", { class: tone }, FORMS[form](value)));
}));

const curves = (sheet) => {
  const { columns, rows, bars } = sheet.curve;
  const series = tidy(columns, rows);
  if (!series.t?.length) return card("No bars", make("p", {}, "The run stopped before its first bar."));
  const host = make("div", { class: "charts" });
  const section = card("Equity and drawdown", host, bars > rows.length ? make("p", { class: "hint" },
    `${rows.length.toLocaleString("en-US")} of ${bars.toLocaleString("en-US")} bars are drawn, chosen so that the shape stays.`) : null);
  const place = (name) => sheet.trades.columns.indexOf(name);
  const marks = sheet.trades.rows.map((row) => ({ t: Date.parse(row[place("exit_time")]) / 1000, gain: row[place("pnl")] >= 0 }));
  const panels = [
    { key: "equity", title: sheet.curve.name ? `Equity of ${sheet.curve.name}, the others behind it` : "Equity", behind: sheet.curve.behind ?? [], short: "equity", label: `Equity from ${money(sheet.curve.start)} to ${money(series.equity.at(-1))}`,
      height: 300, tone: "accent", area: true, log: true, marks: true, base: sheet.curve.start, tick: money, form: (v) => amount(v, 0) },
    { key: "drawdown", title: "Drawdown", short: "drawdown", label: "How far below its peak equity was", height: 140, tone: "loss",
      area: true, floor: [0], tick: (v) => percent(v, 0, false), form: (v) => percent(v) },
  ];
  if (series.rolling_sharpe?.some(known)) {
    panels.push({ key: "rolling_sharpe", title: `Sharpe ratio of ${sheet.curve.window} bars`, short: "rolling Sharpe", label: "Rolling Sharpe ratio",
      height: 130, tone: "soft", base: 0, tick: (v) => amount(v, 1), form: (v) => amount(v) });
  }
  series.drawdown = series.drawdown.map((value) => (known(value) ? -value : value));
  requestAnimationFrame(() => charts(host, series, panels, marks));
  return section;
};

const STRONG = 0.12; // a month of this return has the strongest colour
const tinted = (value, text, strong = STRONG) => make("td", known(value)
  ? { class: value >= 0 ? "gain" : "loss", style: `--share:${(Math.min(Math.abs(value) / strong, 1) * 100).toFixed(0)}%` } : {}, text);
const heat = ({ monthly }) => (monthly.length ? card("Monthly returns, %", scroll(make("table", { class: "heat" },
  make("thead", {}, make("tr", {}, cells("th", ["", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Year"]))),
  make("tbody", {}, monthly.map(([year, ...values]) => make("tr", {}, make("th", { scope: "row" }, year),
    values.map((value) => (known(value) ? tinted(value, percent(value, 1).replace("%", "")) : make("td"))))))))) : null);

const falls = ({ drawdowns }) => (drawdowns.length ? card("Deepest drawdowns", scroll(make("table", { class: "list" },
  make("thead", {}, make("tr", {}, cells("th", ["Depth", "Peak", "Trough", "Recovered", "Bars down", "Bars in all"]))),
  make("tbody", {}, drawdowns.map((one) => make("tr", {}, make("td", { class: "loss-text" }, percent(-one.depth)),
    cells("td", [day(one.peak), day(one.trough), one.end ? day(one.end) : "not yet", FORMS.count(one.down), FORMS.count(one.bars)]))))))) : null);

const numbers = ({ statistics }) => {
  const { standard, lean } = statistics;
  const shown = new Set(["partial", "profile", ...LABELS.groups.flatMap(([, rows]) => rows.map(([, name]) => name))]);
  const rest = Object.entries(standard).filter(([name, value]) => !shown.has(name) && (known(value) || typeof value === "string"));
  const table = (title, rows) => (rows.length ? make("table", {}, make("caption", {}, title), make("tbody", {}, rows.map(([label, text]) =>
    make("tr", {}, make("th", { scope: "row" }, label), make("td", {}, text))))) : null);
  const groups = LABELS.groups.map(([title, rows]) => table(title, rows.filter(([, name]) => name in standard)
    .map(([label, name, form]) => [label, FORMS[form](standard[name])])));
  const more = rest.map(([name, value]) => [name.replaceAll("_", " "), plain(value)]);
  const sections = [card("Statistics", make("div", { class: "groups" }, groups, more.length > 0 && more.length <= 12 ? table("More", more) : null),
    more.length > 12 ? make("details", {}, make("summary", {}, `${more.length} more statistics`), make("div", { class: "groups" }, table("", more))) : null)];
  if (lean) {
    sections.push(card("By Lean's formulas", make("details", {}, make("summary", {}, "Profile lean: formulas, rounding and calendar of QuantConnect Lean"),
      make("div", { class: "groups" }, table("", Object.entries(lean).map(([name, value]) => [name.replaceAll("_", " "), plain(value)]))))));
  }
  return sections;
};

const trades = (sheet, more) => {
  if (!sheet.trades.total) return null;
  const body = make("div");
  const asked = { symbol: "", column: "exit_time", down: true, page: 0 };
  const PAGE = 25;
  let given = sheet.trades;
  const forms = { pnl: (v) => amount(v), fees: (v) => amount(v), quantity: plain, entry_price: (v) => amount(v, 4), exit_price: (v) => amount(v, 4),
    mae: (v) => amount(v), mfe: (v) => amount(v), bars: FORMS.count, entry_time: day, exit_time: day };
  const shown = () => {
    const place = given.columns.indexOf(asked.column);
    const symbol = given.columns.indexOf("vt_symbol");
    const kept = given.rows.filter((row) => String(row[symbol]).toUpperCase().includes(asked.symbol.toUpperCase()));
    kept.sort((a, b) => (a[place] < b[place] ? -1 : a[place] > b[place] ? 1 : 0) * (asked.down ? -1 : 1));
    return kept;
  };
  const draw = () => {
    const kept = shown();
    const pages = Math.max(Math.ceil(kept.length / PAGE), 1);
    asked.page = Math.min(asked.page, pages - 1);
    const step = (label, by, able) => make("button", { type: "button", disabled: !able, onclick: () => { asked.page += by; draw(); } }, label);
    const order = (name) => { asked.down = asked.column === name ? !asked.down : true; asked.column = name; draw(); };
    body.replaceChildren(scroll(make("table", { class: "list" },
      make("thead", {}, make("tr", {}, given.columns.map((name) => make("th", { scope: "col", "aria-sort": name !== asked.column ? "none" : asked.down ? "descending" : "ascending" },
        make("button", { type: "button", class: "sort", onclick: () => order(name) }, name.replace("vt_symbol", "symbol").replaceAll("_", " ")))))),
      make("tbody", {}, kept.slice(asked.page * PAGE, asked.page * PAGE + PAGE).map((row) => make("tr", {}, row.map((value, i) => make("td",
        { class: given.columns[i] === "pnl" ? (value >= 0 ? "gain-text" : "loss-text") : null }, (forms[given.columns[i]] ?? plain)(value)))))))),
    make("p", { class: "pager" }, step("Back", -1, asked.page > 0), ` page ${asked.page + 1} of ${pages} `, step("Next", 1, asked.page < pages - 1)));
  };
  const box = make("input", { type: "search", placeholder: "Symbol", "aria-label": "Only trades of this symbol",
    oninput: (event) => { asked.symbol = event.target.value; asked.page = 0; draw(); } });
  const missing = sheet.trades.total - sheet.trades.rows.length;
  const load = missing > 0 && more ? make("button", { type: "button", onclick: async () => {
    load.disabled = true;
    try { given = await more(given); load.textContent = given.rows.length < sheet.trades.total ? "Load more" : "All loaded"; load.disabled = given.rows.length >= sheet.trades.total; }
    catch (error) { load.textContent = error.hint ?? error.message ?? "The trades could not be read."; }
    draw();
  } }, "Load more") : null;
  draw();
  return card(missing > 0 ? `Trades, the newest ${sheet.trades.rows.length.toLocaleString("en-US")} of ${sheet.trades.total.toLocaleString("en-US")}`
    : `Trades (${sheet.trades.total.toLocaleString("en-US")})`, make("div", { class: "chartbar" }, box, load), body);
};

const bySymbol = ({ symbols }) => (symbols.length ? card("Fills by symbol", scroll(make("table", { class: "list" },
  make("thead", {}, make("tr", {}, cells("th", ["Symbol", "Fills", "Bought", "Sold", "Fees"]))),
  make("tbody", {}, symbols.map((one) => make("tr", {}, make("th", { scope: "row" }, one.vt_symbol),
    cells("td", [FORMS.count(one.fills), amount(one.bought), amount(one.sold), amount(one.fees)]))))))) : null);

const trials = ({ trials: found }) => {
  if (!found) return null;
  const place = (name) => found.columns.indexOf(name);
  const best = Math.max(...found.rows.map((row) => Math.abs(row[place("sharpe")] ?? 0)), 0.1);
  const parts = [];
  if (found.axes.length === 2) {
    const [a, b] = found.axes.map(([name]) => place(name));
    const at = new Map(found.rows.map((row) => [`${row[a]} ${row[b]}`, row[place("sharpe")]]));
    const [[across, xs], [downwards, ys]] = found.axes;
    parts.push(scroll(make("table", { class: "heat even" }, make("caption", {}, `Sharpe ratio by ${across} (across) and ${downwards} (down)`),
      make("thead", {}, make("tr", {}, cells("th", ["", ...xs.map(plain)]))),
      make("tbody", {}, ys.map((y) => make("tr", {}, make("th", { scope: "row" }, plain(y)), xs.map((x) => {
        const value = at.get(`${x} ${y}`);
        return known(value) ? tinted(value, amount(value), best) : make("td");
      })))))));
  }
  parts.push(make("div", { class: "scroll tall", tabindex: 0 }, make("table", { class: "list" }, make("thead", {}, make("tr", {}, cells("th", found.columns.map((name) => name.replaceAll("_", " "))))),
    make("tbody", {}, found.rows.slice(0, 100).map((row) => make("tr", {}, row.map((value, i) => make("td", {},
      ["total_return", "max_drawdown"].includes(found.columns[i]) ? percent(found.columns[i] === "max_drawdown" && known(value) ? -value : value) : plain(value)))))))));
  const facts = Object.entries(found.facts ?? {}).map(([name, value]) => `${name.replaceAll("_", " ")}: ${plain(value)}`);
  if (facts.length) parts.unshift(make("p", { class: "soft" }, facts.join(" \u00b7 ")));
  return card(`${found.total.toLocaleString("en-US")} trials: the best of many is lucky too`, ...parts);
};

const source = ({ run, spec }) => {
  const engine = run.engine ?? {};
  const facts = [["Run", run.run_id], ["Created", run.created_at], ["Finished", run.finished_at], ["Spec hash", run.spec_hash], ["Run hash", run.run_sha],
    ["Result hash", run.result_sha], ...Object.entries(run.snapshot_ids ?? {}).map(([table, id]) => [`Snapshot of ${table}`, id]),
    ["Engine", run.engine ? `${engine.version} ${engine.sources}` : null], ["Built on", engine.fingerprint], ["Spec", spec ? JSON.stringify(spec) : null]];
  return card("Where this comes from", make("table", { class: "facts" }, make("tbody", {}, facts.filter(([, value]) => value).map(([name, value]) =>
    make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, make("code", {}, value)))))));
};

const main = document.querySelector("main");
const show = (sheet, more) => {
  document.title = `${sheet.run.name} - tear sheet`;
  main.replaceChildren(...[head(sheet), verdictOf(sheet), tiles(sheet), notes(sheet), trials(sheet), curves(sheet), heat(sheet), falls(sheet),
    numbers(sheet), shaken(sheet), trades(sheet, more), bySymbol(sheet), source(sheet),
    make("footer", {}, "Made by AlphaSwarm from the stored result. Past returns promise nothing.")].flat().filter(Boolean));
  main.dataset.state = "shown";
};
const say = (text, state) => { main.dataset.state = state; main.replaceChildren(make("p", { class: "lead" }, text)); };

const stored = document.getElementById("sheet");
if (stored) show(JSON.parse(stored.textContent));
if (parent !== window) {
  const dress = ({ theme }) => { if (theme) document.documentElement.dataset.theme = theme; };
  const more = async (given) => {
    const { structuredContent: page, isError } = await host.call("get_trades",
      { run_id: given.run_id, offset: given.rows.length, limit: 500, sort: "exit_time", descending: true });
    if (isError) throw page;
    return { ...given, rows: [...given.rows, ...page.trades.rows] };
  };
  const host = bridge("alphaswarm-tearsheet", {
    "ui/notifications/tool-input": () => { if (!stored) say("Reading the run \u2026", "waiting"); },
    "ui/notifications/tool-cancelled": () => say("The call was cancelled.", "cancelled"),
    "ui/notifications/tool-result": ({ structuredContent: sheet, isError }) => {
      if (!isError && sheet?.curve) return show(sheet, more);
      say(sheet?.message ? `${sheet.message} ${sheet.hint ?? ""}` : "The run could not be read.", "failed");
    },
    "ui/notifications/host-context-changed": dress,
    "ui/resource-teardown": () => { main.dataset.state = "ended"; main.replaceChildren(); },
  });
  host.opened.then(({ hostContext }) => dress(hostContext ?? {}), () => {});
}
