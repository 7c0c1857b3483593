// Elements without markup (text stays text), and numbers as a reader expects them.
const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "g", "path", "line", "rect", "text", "circle"]);
const make = (tag, attributes = {}, ...children) => {
  const element = DRAWN.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
};
const UNKNOWN = "\u2013";
const MINUS = "\u2212";
const known = (value) => typeof value === "number" && Number.isFinite(value);
const fixed = (value, digits) => Math.abs(value).toLocaleString("en-US",
  { minimumFractionDigits: digits, maximumFractionDigits: digits });
const signed = (text, value, plus) => (/[1-9]/.test(text) ? (value < 0 ? MINUS : plus ? "+" : "") + text : text);
const amount = (value, digits = 2) => (known(value) ? signed(fixed(value, digits), value) : UNKNOWN);
const percent = (value, digits = 2, plus = true) =>
  (known(value) ? signed(fixed(value * 100, digits), value, plus) + "%" : UNKNOWN);
const money = (value) => {
  if (!known(value)) return UNKNOWN;
  const [size, suffix] = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]
    .find(([from]) => Math.abs(value) >= from * 0.9995) ?? [1, ""];
  return signed(String(Number((Math.abs(value) / size).toPrecision(3))), value) + suffix;
};
const FORMS = {
  percent: (value) => percent(value), share: (value) => percent(value, 2, false),
  loss: (value) => percent(known(value) ? -value : value), ratio: (value) => amount(value),
  amount: (value) => amount(value), whole: (value) => amount(value, 0),
  count: (value) => (known(value) ? value.toLocaleString("en-US") : UNKNOWN),
};
const plain = (value) => {
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (value && typeof value === "object") return Object.entries(value).map(([k, v]) => `${k} ${plain(v)}`).join(", ");
  return known(value) && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : String(value ?? UNKNOWN);
};
const stamp = (seconds, fine) => new Date(seconds * 1000).toISOString().slice(0, fine ? 16 : 10).replace("T", " ");
const day = (text) => (text ? String(text).slice(0, 10) : UNKNOWN);
