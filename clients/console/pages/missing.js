// 404: what was looked for is not here.
import { h } from "../dom.js";

export const missing = (view, error) => view.draw("Not found", h("div", { class: "lone" },
  h("p", { class: "code", "aria-hidden": "true" }, "404"), h("h1", { tabindex: -1 }, "Not found"),
  h("p", null, error?.message ?? "There is no such page."), h("p", { class: "soft" }, error?.hint ?? ""),
  h("a", { class: "button", href: "/console/runs" }, "All runs")));
