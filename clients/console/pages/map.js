// The suite as its topology says it is, and what answers now: once as a picture, once as a table.
import { badge, h, s, table } from "../dom.js";
import { count } from "../format.js";
import { health } from "../wire.js";

const LOOK_S = 5, WIDTH = 1080, BOX = 64, GAP = 16, LEFT = 108;
const BANDS = [["Who asks", 24], ["Servers", 142], ["Work", 276], ["Stores", 410]];
const WORDS = { up: "answers", down: "silent", unknown: "not known", busy: "at work", idle: "idle", stuck: "waiting" };
const TONES = { up: "good", idle: "good", busy: "live", down: "bad", stuck: "warn", unknown: "soft" };
const pathOf = (url) => { const { pathname, host } = new URL(url); return host === location.host ? pathname : host + pathname; };

const fit = (text, width) => (text.length * 6.6 > width ? `${text.slice(0, Math.floor(width / 6.6) - 1)}\u2026` : text);
const row = (parts, y) => {
  const width = (WIDTH - 2 - LEFT - GAP * (parts.length - 1)) / parts.length;
  return parts.map((part, i) => ({ ...part, x: LEFT + i * (width + GAP), y, width }));
};
const node = ({ name, sub, state, x, y, width }) => s("g", { class: `node ${TONES[state] ?? ""}`, transform: `translate(${x.toFixed(1)} ${y})` },
  s("rect", { width: width.toFixed(1), height: BOX, rx: 12 }), s("circle", { cx: width - 18, cy: 20, r: 5 }),
  s("text", { x: 16, y: 26, class: "name" }, fit(name, width - 44)), s("text", { x: 16, y: 46, class: "sub" }, fit(sub, width - 26)));
const bus = (above, below) => {
  const y = (above[0].y + BOX + below[0].y) / 2;
  const mid = (one) => (one.x + one.width / 2).toFixed(1);
  const xs = [...above, ...below].map((one) => one.x + one.width / 2);
  return s("path", { class: "edge", d: [...above.map((one) => `M${mid(one)} ${one.y + BOX}V${y}`), ...below.map((one) => `M${mid(one)} ${y}V${one.y}`), `M${Math.min(...xs).toFixed(1)} ${y}H${Math.max(...xs).toFixed(1)}`].join("") });
};

const picture = (bands) => {
  const drawn = bands.map((parts, i) => row(parts, BANDS[i][1]));
  const silent = bands.flat().filter((part) => part.state === "down").map((part) => part.name);
  return s("svg", { class: "map", viewBox: `0 0 ${WIDTH} ${BANDS.at(-1)[1] + BOX + 16}`, role: "img", "aria-labelledby": "map-title map-text" },
    s("title", { id: "map-title" }, "Topology of this suite"),
    s("desc", { id: "map-text" }, `Clients reach the issuer and ${count(bands[1].length - 1)} servers; workers take the work; stores keep it. ${silent.length ? `Silent: ${silent.join(", ")}.` : "Every part that can be asked answers."} The table below says the same.`),
    ...BANDS.map(([name, y]) => s("text", { x: 0, y: y + BOX / 2 + 4, class: "band" }, name)),
    ...drawn.slice(1).map((parts, i) => bus(drawn[i], parts)), ...drawn.flat().map(node));
};

const worked = (groups, running, queued) => groups.map((group) => ({ name: group.name, sub: `${group.processes} \u00d7 ${group.threads} threads`, sort: "workers",
  state: running ? "busy" : queued ? "stuck" : "idle" }));

export const map = async (view) => {
  const place = h("div"), list = h("div", { class: "list" });
  let told = "";
  const look = async () => {
    const [found, running, queued, lake] = await Promise.all([health(view.signal),
      view.call("control", "list_runs", { status: "running", limit: 200 }).then((page) => page.runs, () => []),
      view.call("control", "list_runs", { status: "queued", limit: 200 }).then((page) => page.runs, () => []),
      view.call("data", "query_sql", { sql: "SELECT 1 AS one", max_rows: 1 }).then(() => "up", (error) => (error.name === "AbortError" ? "unknown" : "down"))]);
    const bands = [
      [{ name: "This console", sub: "/console", state: "up", sort: "client" }, { name: "MCP clients", sub: "Claude Code, VS Code, ...", sort: "client" }, { name: "alphaswarm", sub: "command line, bridge", sort: "client" }],
      [...found.issuers.map((one) => ({ name: `Issuer ${one.name}`, sub: pathOf(one.url), state: one.state, sort: "issuer" })), ...found.servers.map((one) => ({ name: one.name, sub: pathOf(one.url), state: one.state, sort: "server" }))],
      worked(found.workers, running.length, queued.length),
      [...found.stores.map((one) => ({ name: { postgres: "PostgreSQL", valkey: "Valkey" }[one.name], sub: { postgres: "record, identity, catalog", valkey: "queue, progress" }[one.name] + (one.kind === "url" ? " (elsewhere)" : ""), state: one.state, sort: "store" })),
        { name: "Lake", sub: "Iceberg tables, DuckDB", state: lake, sort: "store" }],
    ];
    const text = JSON.stringify([bands, running.length, queued.length]);
    if (text === told) return;
    told = text;
    place.replaceChildren(picture(bands));
    list.replaceChildren(table("Parts of the suite", ["Part", "What", { text: "Where", class: "wide" }, "State"], bands.flat().filter((part) => part.state).map((part) => h("tr", null,
      h("th", { scope: "row" }, part.name), h("td", { class: "soft" }, part.sort), h("td", { class: "wide soft" }, part.sub), h("td", null, badge(WORDS[part.state], TONES[part.state]))))),
    h("p", { class: "hint" }, `Workers listen to nobody, so their runs tell: ${count(running.length)} running, ${count(queued.length)} queued.`));
  };
  await look();
  view.draw("Map", h("div", { class: "title" }, h("h1", { tabindex: -1 }, "Map")), h("div", { class: "card drawing" }, place), list);
  view.every(LOOK_S, () => look().catch(() => {}));
};
