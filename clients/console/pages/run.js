// One run: how far it is, what it found, the rows it left, the spec it was made from, and the ways to stop it.
import { app } from "../app.js";
import { badge, card, empty, facts, h, table } from "../dom.js";
import { amount, count, ENDED, known, moment, plain, since, took, TONES, words } from "../format.js";
import { announce, say } from "../notices.js";
import { press } from "../pill.js";
import { tabs } from "../tabs.js";
import { frames, stepUp } from "../wire.js";
import { progressOf } from "./runs.js";
import { specPart } from "./specs.js";

const MOST_FRAMES = 300, ROWS = 100, SAID_EVERY_MS = 10_000;
const CANCELS = { backtest: "backtest", data: "data" }; // the server that owns a kind's runs; control cancels all, by step-up
const TABLE = /^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$/;

const log = () => {
  const list = h("ol", { class: "log" });
  return { list, add: ({ seq, stage, message, timestamp }) => {
    list.prepend(h("li", null, h("span", { class: "num soft" }, seq), h("time", { datetime: timestamp }, timestamp.slice(11, 23)), h("code", null, stage), h("span", null, message)));
    while (list.children.length > MOST_FRAMES) list.lastChild.remove();
  } };
};

const statistics = (run) => {
  const pairs = Object.entries(run.statistics ?? {}).filter(([, value]) => ["number", "boolean", "string"].includes(typeof value)).sort(([a], [b]) => a.localeCompare(b));
  if (!pairs.length) return empty("No statistics", "They come with the end of a run.");
  return h("dl", { class: "tiles" }, pairs.map(([name, value]) => h("div", null, h("dt", null, words(name)), h("dd", null, known(value) ? (Number.isInteger(value) ? count(value) : amount(value)) : plain(value)))));
};

const record = (run) => card("Record", facts([
  ["Run", h("code", null, run.run_id)], ["Task", h("code", null, run.task_id)],
  ["Created", moment(run.created_at)], ["Started", run.started_at && moment(run.started_at)], ["Finished", run.finished_at && moment(run.finished_at)],
  ["Spec hash", h("code", null, run.spec_hash)], ["Run hash", run.run_sha && h("code", null, run.run_sha)], ["Result hash", run.result_sha && h("code", null, run.result_sha)],
  ...Object.entries(run.snapshot_ids ?? {}).map(([name, id]) => [`Snapshot of ${name}`, h("code", null, id)]),
  ["Inputs", Object.keys(run.inputs).length ? h("code", null, plain(run.inputs)) : null],
  ["Engine", run.engine && `${run.engine.version} ${String(run.engine.sources ?? "").slice(0, 16)}`], ["Built on", run.engine?.fingerprint]]));

const rows = (view, run) => (panel) => {
  const found = Object.entries(run.result_tables ?? {}).filter(([, name]) => typeof name === "string" && TABLE.test(name));
  if (!found.length) return panel.append(empty("No result tables", "A run leaves them when it ends."));
  const place = h("div", { "aria-live": "polite" });
  const shown = async (name) => {
    for (const button of buttons) button.setAttribute("aria-pressed", button.textContent === words(name));
    const from = Object.fromEntries(found)[name];
    const whose = from.endsWith(run.run_id) ? "" : ` WHERE run_id = '${run.run_id}'`;
    place.replaceChildren(h("p", { class: "soft" }, "Reading\u2026"));
    try {
      const { columns, rows: lines, truncated } = await view.call("data", "query_sql", { sql: `SELECT * FROM ${from}${whose} LIMIT ${ROWS}`, max_rows: ROWS });
      const kept = columns.map((column, i) => [column, i]).filter(([column]) => column !== "run_id");
      place.replaceChildren(h("p", { class: "soft" }, h("code", null, from), ` \u00b7 ${lines.length === ROWS || truncated ? `the first ${lines.length} rows` : `${count(lines.length)} rows`}`),
        table(`Rows of ${from}`, kept.map(([column, i]) => ({ text: column, class: known(lines[0]?.[i]) ? "num" : null })),
          lines.map((line) => h("tr", null, kept.map(([, i]) => h("td", { class: known(line[i]) ? "num" : null }, known(line[i]) ? (Number.isInteger(line[i]) ? count(line[i]) : line[i].toPrecision(8).replace(/\.?0+$/, "")) : plain(line[i])))))));
    } catch (error) {
      if (error.name !== "AbortError") place.replaceChildren(h("p", { class: "bad" }, `${error.message} ${error.hint ?? ""}`));
    }
  };
  const buttons = found.map(([name]) => h("button", { type: "button", class: "chip", on: { click: () => shown(name) } }, words(name)));
  panel.append(h("div", { class: "chips" }, buttons), place);
  shown(found[0][0]);
};

const sheet = (view, run) => (panel) => panel.append(app({ server: "backtest", title: `Tear sheet of ${run.name}`, tools: ["get_trades"], signal: view.signal,
  args: { run_id: run.run_id }, result: view.call("backtest", "tear_sheet", { run_id: run.run_id }) }));

const actions = (view, run, again) => {
  if (ENDED.has(run.status)) return null;
  const server = CANCELS[run.kind];
  const cancel = h("button", { type: "button", on: { click: async () => {
    cancel.disabled = true;
    try {
      if (!server) return await stepUp("cancel_run", { run_id: run.run_id });
      await view.call(server, "cancel_run", { run_id: run.run_id });
      announce("The run was asked to end.");
      again();
    } catch (error) {
      cancel.disabled = false;
      say("bad", error.message, error.hint);
    }
  } } }, server ? "Cancel run" : "Cancel run\u2026");
  return h("div", { class: "actions" }, cancel,
    h("button", { type: "button", class: "danger outline", on: { click: () => press(`run:${run.run_id}`) } }, "Halt this run\u2026"));
};

export const run = async (view, id) => {
  const lines = log(), meter = h("div", { class: "meter" });
  let saidAt = 0;

  const draw = (one) => {
    const ended = ENDED.has(one.status);
    const partial = one.statistics?.partial === true;
    const parts = [];
    if (one.kind === "backtest" && one.statistics && one.result_tables) parts.push(["sheet", "Tear sheet", sheet(view, one)]);
    parts.push(["overview", "Overview", (panel) => panel.append(card("Statistics", statistics(one)), record(one))]);
    if (ended) parts.push(["rows", "Rows", rows(view, one)]);
    parts.push(["spec", "Spec", (panel) => specPart(view, panel, one)], ["frames", "Frames", (panel) => panel.append(lines.list)]);
    view.draw(`${one.name} v${one.version}`,
      h("p", { class: "crumb" }, h("a", { href: "/console/runs" }, "Runs"), " / ", h("code", null, one.run_id)),
      h("div", { class: "title" }, h("h1", { tabindex: -1 }, one.name, h("span", { class: "soft" }, ` v${one.version}`)), badge(one.status + (partial ? ", partial result" : ""), TONES[one.status]),
        actions(view, one, again)),
      h("p", { class: "soft lead" }, `${one.kind} \u00b7 created ${since(one.created_at)}${one.finished_at ? ` \u00b7 took ${took(one.created_at, one.finished_at)}` : ""}`),
      one.error ? h("div", { class: "notice bad", role: "alert" }, h("p", null, h("strong", null, one.error.message ?? one.error.code), ` ${one.error.hint ?? ""}`, " ", h("code", null, one.error.code))) : null,
      ended ? null : meter, tabs("Parts of this run", parts, parts[0][0], view.signal));
  };
  const heard = (frame) => {
    lines.add(frame);
    meter.replaceChildren(progressOf(frame));
    if (Date.now() - saidAt > SAID_EVERY_MS) {
      saidAt = Date.now();
      announce(`${frame.stage}: ${frame.message}`);
    }
    if (["done", "failed", "halted", "cancelled"].includes(frame.stage)) {
      announce(`The run has ended: ${frame.stage}.`);
      if (!over) again();
    }
  };
  const again = async () => {
    const one = await view.call("control", "get_run", { run_id: id }).catch(() => null);
    if (!one || view.signal.aborted || ENDED.has(one.status) === over) return;
    over = ENDED.has(one.status);
    draw(one);
  };

  const first = await view.call("control", "get_run", { run_id: id });
  let over = ENDED.has(first.status);
  meter.append(progressOf({ stage: first.status, message: first.status === "queued" ? "Waiting for a worker" : "Working" }));
  draw(first);
  frames([first.task_id], heard, view.signal);
};
