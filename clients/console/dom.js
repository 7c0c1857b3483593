// Elements from values: every text reaches the page as text, never as markup.
const SVG = "http://www.w3.org/2000/svg";

const fill = (element, props, children) => {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, heard] of Object.entries(value)) element.addEventListener(event, heard);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return element;
};

export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

export const table = (caption, heads, rows, props = {}) => h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
  h("table", props, h("caption", { class: "unseen" }, caption),
    h("thead", null, h("tr", null, heads.map((head) => (head instanceof Node ? head : h("th", { scope: "col", class: head.class ?? null }, head.text ?? head))))),
    h("tbody", null, rows)));

export const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
  .map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));

export const badge = (text, tone) => h("span", { class: `badge ${tone ?? ""}` }, text);
export const card = (title, ...children) => h("section", { class: "card" }, title && h("h2", null, title), ...children);
export const empty = (title, ...text) => h("div", { class: "empty" }, h("p", { class: "strong" }, title), text.length ? h("p", null, text) : null);
