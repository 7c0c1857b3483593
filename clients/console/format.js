// How values are read: one way for a time, a number, a hash, a status.
const NUMBER = new Intl.NumberFormat("en-US");
const TWO = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const known = (value) => typeof value === "number" && Number.isFinite(value);
export const count = (value) => (known(value) ? NUMBER.format(value) : "\u2013");
export const amount = (value) => (known(value) ? TWO.format(value) : "\u2013");
export const percent = (value) => (known(value) ? `${TWO.format(value * 100)}%`.replace("-", "\u2212") : "\u2013");
export const short = (hash) => (hash ? hash.slice(0, 10) : "\u2013");
export const words = (name) => name.replaceAll("_", " ");

export const moment = (text) => (text ? `${text.slice(0, 10)} ${text.slice(11, 19)} UTC` : "\u2013");
export const since = (text, now = Date.now()) => {
  const s = Math.max(0, (now - Date.parse(text)) / 1000);
  if (!Number.isFinite(s)) return "\u2013";
  if (s < 60) return "just now";
  for (const [unit, size, next] of [["min", 60, 3600], ["h", 3600, 86400], ["d", 86400, Infinity]]) {
    if (s < next) return `${Math.floor(s / size)} ${unit} ago`;
  }
  return text;
};
export const took = (from, to) => {
  const s = (Date.parse(to) - Date.parse(from)) / 1000;
  if (!Number.isFinite(s)) return "\u2013";
  if (s < 60) return `${s.toFixed(1)} s`;
  return s < 3600 ? `${Math.floor(s / 60)} min ${Math.round(s % 60)} s` : `${(s / 3600).toFixed(1)} h`;
};

export const TONES = { queued: "soft", running: "live", waiting: "warn", succeeded: "good", failed: "bad", halted: "bad", cancelled: "soft" };
export const ENDED = new Set(["succeeded", "failed", "halted", "cancelled"]);
export const scopeName = (scope) => {
  const [sort, name] = [scope.slice(0, scope.indexOf(":")), scope.slice(scope.indexOf(":") + 1)];
  return scope === "all" ? "everything" : { kind: `every ${name} run`, spec: `the spec ${name}`, run: `the run ${name}` }[sort] ?? scope;
};
// A value of JSON as one line.
export const plain = (value) => (value === null || value === undefined ? "\u2013" : typeof value === "object" ? JSON.stringify(value) : String(value));
