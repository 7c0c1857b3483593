// Tabs by the ARIA pattern: arrows move, the address remembers, a panel is made when it is first shown.
import { h } from "./dom.js";

export const tabs = (label, parts, chosen, signal) => {
  const made = parts.map(([key, title, make]) => ({ key, make,
    tab: h("button", { type: "button", role: "tab", id: `tab-${key}`, "aria-controls": `panel-${key}` }, title),
    panel: h("div", { role: "tabpanel", id: `panel-${key}`, "aria-labelledby": `tab-${key}`, tabindex: 0 }), filled: false }));
  const pick = (key, { focus = false, note = true } = {}) => made.forEach((one) => {
    const on = one.key === key;
    one.tab.setAttribute("aria-selected", on);
    one.tab.tabIndex = on ? 0 : -1;
    one.panel.hidden = !on;
    if (!on) return;
    if (!one.filled) {
      one.filled = true;
      one.make(one.panel);
    }
    if (focus) one.tab.focus();
    if (note) history.replaceState(null, "", `#${key}`);
  });
  const keys = { ArrowRight: (i) => i + 1, ArrowLeft: (i) => i - 1, Home: () => 0, End: () => made.length - 1 };
  made.forEach((one, i) => {
    one.tab.addEventListener("click", () => pick(one.key));
    one.tab.addEventListener("keydown", (event) => {
      const to = keys[event.key]?.(i);
      if (to === undefined) return;
      event.preventDefault();
      pick(made.at(to % made.length).key, { focus: true });
    });
  });
  const wanted = () => made.find((one) => `#${one.key}` === location.hash)?.key ?? chosen;
  addEventListener("hashchange", () => pick(wanted(), { note: false }), { signal });
  pick(wanted(), { note: false });
  return [h("div", { class: "tabs", role: "tablist", "aria-label": label }, made.map((one) => one.tab)), made.map((one) => one.panel)];
};
