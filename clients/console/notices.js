// What happened while the person was away, and what a screen reader should hear.
import { h } from "./dom.js";
import { scopeName } from "./format.js";

export const announce = (text) => { document.getElementById("said").textContent = text; };

const sentence = ({ tool, arguments: args = {}, result, error }) => {
  if (error) return { tone: "bad", text: error.message, hint: error.hint };
  if (tool === "cancel_run") return { tone: "good", text: "The run was asked to end.", hint: `It is ${result.status}.` };
  const receipt = result.receipt ? `Audit row ${result.receipt.seq}, ${result.receipt.hash.slice(0, 10)}.` : "";
  const what = scopeName(args.scope ?? "");
  return tool === "halt" ? { tone: "warn", text: `You halted ${what}.`, hint: receipt }
    : { tone: "good", text: `You lifted the halt of ${what}.`, hint: receipt };
};

export const say = (tone, text, hint = "") => {
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Dismiss", on: { click: () => box.remove() } }, "\u00d7");
  const box = h("div", { class: `notice ${tone}`, role: tone === "bad" ? "alert" : "status" },
    h("p", null, h("strong", null, text), hint ? ` ${hint}` : ""), close);
  document.getElementById("notices").append(box);
};
export const notice = (told) => {
  const { tone, text, hint } = sentence(told);
  say(tone, text, hint);
};
