// The audit ledger: who intended what and what came of it, and whether its chain of hashes is whole.
import { badge, empty, facts, h, table } from "../dom.js";
import { count, moment, plain, short } from "../format.js";

const LIMIT = 50, VERIFY_S = 30;
const TONES = { intended: "soft", done: "good", failed: "bad", refused: "warn", unknown: "warn" };

// A target below our own address is shown as its path; the whole is the cell's title.
const near = (target) => (target.startsWith(`${location.origin}/`) ? target.slice(location.origin.length) : target);

const verdictOf = (found) => {
  if (found.ok) return ["good", "Chain whole", `${count(found.rows)} rows recomputed, ${count(found.heads)} published heads agree. Tip ${short(found.tip)}.`];
  const row = found.broken_seq === null ? "" : ` at row ${found.broken_seq}`;
  const why = found.problem === "head" ? "The rows fit one another, but not a head that was published: the chain was written anew."
    : "This row does not fit the one before it: somebody changed, removed or moved a row.";
  return ["bad", `Chain broken${row}`, why];
};

export const audit = async (view) => {
  const after = view.query.get("after");
  const seal = h("div", { class: "seal", role: "status", "data-state": "unknown" }, h("strong", null, "Verifying\u2026"));
  const body = h("div", { class: "list" });
  let broken = null;
  const mark = () => body.querySelectorAll("tr[data-seq]").forEach((row) => row.classList.toggle("broken", Number(row.dataset.seq) === broken));
  const verify = async () => {
    button.disabled = true;
    try {
      const found = await view.call("control", "verify_audit");
      const [tone, title, text] = verdictOf(found);
      broken = found.ok ? null : found.broken_seq;
      if (seal.textContent !== title + text) seal.replaceChildren(h("strong", null, title), h("span", null, text));
      seal.dataset.state = tone;
      mark();
    } catch (error) {
      if (error.name === "AbortError") return;
      seal.dataset.state = "unknown";
      seal.replaceChildren(h("strong", null, "Not verified"), h("span", null, error.message));
    } finally {
      button.disabled = false;
    }
  };
  const button = h("button", { type: "button", on: { click: verify } }, "Verify now");

  const detail = (row) => h("details", null, h("summary", null, h("code", null, short(row.hash))),
    facts([["Hash", h("code", null, row.hash)], ["Arguments", row.args_sha256 && h("code", null, row.args_sha256)], ...Object.entries(row.facts).map(([name, value]) => [name, plain(value)])]));
  const look = async () => {
    const page = await view.call("control", "audit_log", { limit: LIMIT, after: after ? Number(after) : null });
    body.replaceChildren(page.rows.length ? table("Audit rows, newest first", [{ text: "Row", class: "num" }, { text: "Time", class: "wide" }, "Who", "Did", { text: "To", class: "wide" }, "Outcome", { text: "Reason", class: "wide" }, { text: "Hash", class: "wide" }], page.rows.map((row) => h("tr", { "data-seq": row.seq },
      h("th", { scope: "row", class: "num" }, row.seq), h("td", { class: "wide soft num" }, moment(row.at)), h("td", null, row.actor), h("td", { class: "did" }, h("code", null, row.action)), h("td", { class: "wide target", title: row.target }, near(row.target)),
      h("td", null, badge(row.decision, TONES[row.decision])), h("td", { class: "wide reason" }, row.facts.reason ?? ""), h("td", { class: "wide" }, detail(row)))))
      : empty("No rows", "Whatever changes something leaves one."),
    page.next ? h("p", { class: "pager" }, h("a", { class: "button", href: `/console/audit?after=${page.next}` }, "Older rows")) : "");
    mark();
  };
  await look();
  view.draw("Audit", h("div", { class: "title" }, h("h1", { tabindex: -1 }, "Audit"), h("div", { class: "actions" }, button)), seal, body);
  await verify();
  view.every(VERIFY_S, verify);
};
