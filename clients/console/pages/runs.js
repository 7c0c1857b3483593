// Every run, newest first: filters in the address, frames of those at work as they come, curves of those that ended well.
import { badge, empty, h, s, table } from "../dom.js";
import { amount, count, ENDED, known, moment, percent, since, took, TONES } from "../format.js";
import { frames } from "../wire.js";

const LIMIT = 25, LOOK_S = 3, POINTS = 48, MOST_FOLLOWED = 12;
const KINDS = ["backtest", "data", "rl", "bot", "analysis", "agent", "workflow", "workload", "terraform"];
const worth = new Map(); // what a finished backtest is worth, by run id: it never changes

const spark = (curve) => {
  const [low, high] = [Math.min(...curve), Math.max(...curve)];
  const points = curve.map((value, i) => `${((i / (curve.length - 1)) * 96 + 2).toFixed(1)},${(22 - ((value - low) / (high - low || 1)) * 18).toFixed(1)}`);
  return s("svg", { class: curve.at(-1) >= curve[0] ? "spark gain" : "spark loss", viewBox: "0 0 100 26", "aria-hidden": "true" }, s("polyline", { points: points.join(" ") }));
};
const option = (chosen) => (value) => h("option", { value, selected: value === chosen }, value || "any");

export const progressOf = (frame) => {
  if (!frame) return null;
  const whole = known(frame.current) && known(frame.total) && frame.total > 0;
  return h("span", { class: "moving" }, whole ? h("progress", { value: frame.current, max: frame.total, "aria-label": frame.stage }) : null,
    h("span", null, whole ? `${count(frame.current)} of ${count(frame.total)}` : frame.message || frame.stage));
};

export const runs = async (view) => {
  const asked = Object.fromEntries(["kind", "status", "name", "after"].map((name) => [name, view.query.get(name) || null]));
  const form = h("form", { class: "filters", role: "search", "aria-label": "Filter runs" },
    h("label", null, "Kind", h("select", { name: "kind" }, ["", ...KINDS].map(option(asked.kind ?? "")))),
    h("label", null, "Status", h("select", { name: "status" }, ["", ...Object.keys(TONES)].map(option(asked.status ?? "")))),
    h("label", null, "Spec name", h("input", { name: "name", type: "search", value: asked.name ?? "", autocomplete: "off", spellcheck: "false" })));
  const apply = () => {
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    view.go(`/console/runs${query.size ? `?${query}` : ""}`, { replace: true });
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });

  const list = h("div", { class: "list" });
  const newest = new Map(), cells = new Map();
  let followed = "", unfollow = null, told = "";

  const row = (run) => {
    const found = worth.get(run.run_id);
    const cell = h("td", { class: "result" });
    cells.set(run.run_id, cell);
    if (found?.curve?.length > 1) cell.append(spark(found.curve));
    if (run.code) cell.append(h("code", null, run.code));
    return h("tr", { "data-run": run.run_id },
      h("th", { scope: "row" }, h("a", { href: `/console/runs/${run.run_id}` }, run.name), h("span", { class: "soft" }, ` v${run.version}`)),
      h("td", null, badge(run.status, TONES[run.status])), h("td", { class: "wide soft" }, run.kind), cell,
      h("td", { class: "num" }, found ? amount(found.sharpe) : ""), h("td", { class: "num wide" }, found ? percent(found.total_return) : ""), h("td", { class: "num wide" }, found ? percent(found.max_drawdown) : ""),
      h("td", { class: "num soft", title: moment(run.created_at) }, since(run.created_at)), h("td", { class: "num soft wide" }, run.finished_at ? took(run.created_at, run.finished_at) : ""));
  };
  const paint = () => newest.forEach((frame, task) => {
    const cell = cells.get(task);
    if (cell) cell.replaceChildren(progressOf(frame));
  });

  const value = async (page) => {
    if (!page.runs.some((run) => run.kind === "backtest" && run.status === "succeeded" && !worth.has(run.run_id))) return false;
    const found = await view.call("backtest", "list_runs", { status: "succeeded", name: asked.name, limit: LIMIT * 2, curve: POINTS });
    found.runs.forEach((run) => worth.set(run.run_id, run));
    page.runs.forEach((run) => { if (run.kind === "backtest" && run.status === "succeeded" && !worth.has(run.run_id)) worth.set(run.run_id, null); });
    return true;
  };
  const follow = async (page) => {
    const live = page.runs.filter((run) => !ENDED.has(run.status)).slice(0, MOST_FOLLOWED);
    const key = live.map((run) => run.run_id).join();
    if (key === followed) return;
    followed = key;
    unfollow?.();
    const tasks = await Promise.all(live.map((run) => view.call("control", "get_run", { run_id: run.run_id })));
    const owner = new Map(tasks.map((run) => [run.task_id, run.run_id]));
    if (followed !== key || view.signal.aborted) return;
    unfollow = frames([...owner.keys()], (frame) => {
      newest.set(owner.get(frame.task_id), frame);
      paint();
      if (["done", "failed", "halted", "cancelled"].includes(frame.stage)) look();
    }, view.signal);
  };
  const draw = (page) => {
    const text = JSON.stringify([page, page.runs.map((run) => worth.has(run.run_id)), page.runs.map((run) => since(run.created_at))]);
    if (text === told) return;
    told = text;
    const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    cells.clear();
    list.replaceChildren(page.runs.length ? table("Runs", ["Spec", "Status", { text: "Kind", class: "wide" }, "Result", { text: "Sharpe", class: "num" }, { text: "Return", class: "num wide" }, { text: "Drawdown", class: "num wide" }, { text: "Created", class: "num" }, { text: "Took", class: "num wide" }], page.runs.map(row))
      : empty("No runs", asked.kind || asked.status || asked.name ? "None fits these filters." : "Start one: alphaswarm run clients/cli/examples/momentum.yaml"));
    if (page.next) {
      const query = new URLSearchParams(Object.entries({ ...asked, after: page.next }).filter(([, one]) => one));
      list.append(h("p", { class: "pager" }, h("a", { class: "button", href: `/console/runs?${query}` }, "Older runs")));
    }
    if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    paint();
  };
  const look = async () => {
    try {
      const page = await view.call("control", "list_runs", { ...asked, limit: LIMIT });
      draw(page);
      follow(page).catch(() => {});
      if (await value(page)) draw(page);
    } catch (error) {
      if (!told) throw error;
    }
  };

  await look();
  view.draw("Runs", h("div", { class: "title" }, h("h1", { tabindex: -1 }, "Runs"), form), list);
  view.every(LOOK_S, look);
};
