// The kill switch, on every page: what it says now, who pressed it and why, and the two ways to change it.
import { h } from "./dom.js";
import { moment, plain, scopeName, since } from "./format.js";
import { announce } from "./notices.js";
import * as wire from "./wire.js";

const CALM_S = 2, HALTING_S = 0.5;
const KINDS = ["backtest", "data", "rl", "bot", "analysis", "agent", "workflow", "workload", "terraform"];
const pill = document.getElementById("pill");
const dialog = document.getElementById("switch");
const listeners = new Set();
let status = null, timer = 0, stopped = true, drawn = "";

export const changed = (heard, signal) => {
  listeners.add(heard);
  signal.addEventListener("abort", () => listeners.delete(heard));
};

const halting = (one) => one.stopped < one.covered;
const reading = (view) => {
  if (!view) return ["unknown", "Unknown"];
  if (view.latch !== "readable") return ["halted", "Latch unreadable: halted"];
  const open = view.scopes.filter(halting);
  if (open.length) return ["halting", `Halting ${open.reduce((n, one) => n + one.stopped, 0)} of ${open.reduce((n, one) => n + one.covered, 0)}`];
  if (!view.scopes.length) return ["armed", "Armed"];
  const [first] = view.scopes;
  const what = view.scopes.length > 1 ? `${view.scopes.length} scopes` : first.scope === "all" ? "all" : first.scope.replace(/^run:(.{6}).*$/, "run:$1\u2026");
  return ["halted", `Halted: ${what}`];
};
const about = (view) => (view?.scopes.length ? `${view.scopes[0].actor}, ${view.scopes[0].at.slice(11, 16)}: ${view.scopes[0].reason}` : "");
const told = (view) => (view?.scopes.length ? view.scopes.map((one) => `${scopeName(one.scope)}, halted by ${one.actor}, ${moment(one.at)}: ${one.reason}`).join("; ") : "");

const paint = () => {
  const [state, text] = reading(status);
  if (pill.dataset.state === state && pill.querySelector(".word").textContent === text && pill.querySelector(".about").textContent === about(status)) return;
  const before = pill.dataset.state;
  pill.dataset.state = state;
  pill.querySelector(".word").textContent = text;
  pill.querySelector(".about").textContent = about(status);
  pill.title = told(status);
  if (before !== "unknown" || state !== "armed") announce(`Kill switch: ${text}. ${told(status)}`);
};

const look = async () => {
  clearTimeout(timer);
  try {
    if (!document.hidden) status = await wire.call("control", "halt_status");
  } catch (error) {
    if (error.status === 401) return;
    status = null;
  }
  if (stopped) return;
  paint();
  if (dialog.open) drawStatus();
  listeners.forEach((heard) => heard(status));
  timer = setTimeout(look, (pill.dataset.state === "halting" ? HALTING_S : CALM_S) * 1000);
};

export const start = () => { stopped = false; look(); };
export const stop = () => {
  stopped = true;
  clearTimeout(timer);
  status = null;
  pill.dataset.state = "unknown";
  dialog.close();
};
document.addEventListener("visibilitychange", () => { if (!stopped && !document.hidden) look(); });

// The forms: what is asked of the person goes on to the issuer, which asks for the second factor.
const field = (label, control, hint) => h("label", { class: "field" }, h("span", null, label), control, hint ? h("small", null, hint) : null);
const sent = (tool, form, args) => async (event) => {
  event.preventDefault();
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  try {
    await wire.stepUp(tool, args());
  } catch (error) {
    button.disabled = false;
    form.querySelector(".wrong").textContent = `${error.message} ${error.hint ?? ""}`;
  }
};
const reasonOf = () => h("input", { name: "reason", required: true, minlength: 3, maxlength: 500, autocomplete: "off" });

const resumeForm = (one) => {
  const reason = reasonOf();
  const boxes = [["open_orders_0", "No orders are open"], ["positions_known", "Positions are known"]];
  const form = h("form", { class: "stack" },
    h("fieldset", null, h("legend", null, "I made sure that"), boxes.map(([name, text]) => h("label", { class: "check" }, h("input", { type: "checkbox", name, required: true }), text))),
    field("Reason", reason), h("p", { class: "wrong", role: "alert" }),
    h("button", { type: "submit" }, "Lift this halt\u2026"));
  form.addEventListener("submit", sent("resume", form, () => ({ scope: one.scope, epoch: one.epoch, reason: reason.value, checked: boxes.map(([name]) => name) })));
  return h("details", null, h("summary", null, "Lift this halt"), form);
};

const scopeCard = (one) => h("section", { class: `pressed ${halting(one) ? "halting" : "halted"}`, "data-scope": one.scope },
  h("h3", null, one.scope === "all" ? "Everything is halted" : `Halted: ${scopeName(one.scope)}`),
  h("p", { class: "quote" }, `\u201c${one.reason}\u201d`),
  h("p", { class: "soft" }, `By ${one.actor}, ${since(one.at)} (${moment(one.at)}), epoch ${one.epoch}, orders: ${one.orders}`),
  h("p", { class: "progressed" }), resumeForm(one));

const drawStatus = () => {
  const place = dialog.querySelector(".state");
  const key = plain(status && [status.latch, status.scopes.map((one) => [one.scope, one.epoch])]);
  if (key !== drawn) {
    drawn = key;
    place.replaceChildren(...(status?.scopes.length ? status.scopes.map(scopeCard)
      : [h("p", null, status ? "Armed: nothing is halted. New work starts and runs go on." : "The state of the kill switch is not known now.")]));
    if (status && status.latch !== "readable") place.prepend(h("p", { class: "bad" }, "The latch cannot be read. Whatever sends orders or changes things is halted until it can."));
  }
  for (const one of status?.scopes ?? []) {
    const line = [...place.children].find((child) => child.dataset.scope === one.scope)?.querySelector(".progressed");
    const silent = one.silent.map(({ run_id }) => run_id).join(", ");
    if (line) line.textContent = one.covered === 0 ? "No run was at work." : `${one.stopped} of ${one.covered} runs have stopped.${silent ? ` Silent: ${silent}.` : ""}${one.killed.length ? ` Killed: ${one.killed.join(", ")}.` : ""}`;
  }
};

export const press = (preset = "all") => {
  const scopes = [["all", "Everything"], ...KINDS.map((kind) => [`kind:${kind}`, `Every ${kind} run`])];
  if (preset !== "all") scopes.unshift([preset, scopeName(preset).replace(/^./, (c) => c.toUpperCase())]);
  const scope = h("select", { name: "scope" }, scopes.map(([value, text]) => h("option", { value, selected: value === preset }, text)));
  const orders = h("select", { name: "orders" }, [["cancel", "Cancel them"], ["keep", "Keep them"], ["flatten", "Cancel them and close all positions"]].map(([value, text]) => h("option", { value }, text)));
  const sure = h("label", { class: "check", hidden: true }, h("input", { type: "checkbox", name: "sure" }), "Yes, close all positions that the scope covers");
  orders.addEventListener("change", () => {
    sure.hidden = orders.value !== "flatten";
    sure.querySelector("input").required = !sure.hidden;
  });
  const reason = reasonOf();
  const form = h("form", { class: "stack halt" }, h("h3", null, "Halt"),
    field("What stops", scope), field("Open orders", orders), sure, field("Reason", reason, "It is kept in the audit ledger, word for word."),
    h("p", { class: "wrong", role: "alert" }), h("button", { type: "submit", class: "danger" }, "Halt\u2026"),
    h("p", { class: "hint" }, "You are asked for your second factor. Without one, on this machine: ", h("code", null, "alphaswarm halt --all --local --reason TEXT")));
  form.addEventListener("submit", sent("halt", form, () => ({ scope: scope.value, reason: reason.value, orders: orders.value,
    ...(orders.value === "flatten" ? { confirm: scope.value } : {}) })));
  drawn = "";
  dialog.replaceChildren(h("div", { class: "head" }, h("h2", { id: "switch-title" }, "Kill switch"),
    h("button", { type: "button", class: "quiet", "aria-label": "Close", on: { click: () => dialog.close() } }, "\u00d7")),
    h("div", { class: "state" }), form);
  drawStatus();
  dialog.showModal();
  if (preset !== "all") reason.focus();
};
pill.addEventListener("click", () => press());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => { if (!stopped) pill.focus(); });

