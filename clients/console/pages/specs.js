// Specs as they were hashed: the newest of each name, one version whole, and what changed since the one before.
import { badge, card, empty, h, table } from "../dom.js";
import { moment, plain, short, since } from "../format.js";

export const specs = async (view) => {
  const after = view.query.get("after");
  const page = await view.call("control", "list_specs", { limit: 50, after });
  view.draw("Specs", h("div", { class: "title" }, h("h1", { tabindex: -1 }, "Specs")), h("div", { class: "list" },
    page.specs.length ? table("Specs", ["Name", "Kind", { text: "Version", class: "num" }, { text: "Hash", class: "wide" }, { text: "Locked by", class: "wide" }, { text: "Locked", class: "num" }], page.specs.map((one) => h("tr", null,
      h("th", { scope: "row" }, h("a", { href: `/console/specs/${one.kind}/${encodeURIComponent(one.name)}` }, one.name)), h("td", { class: "soft" }, one.kind), h("td", { class: "num" }, one.version),
      h("td", { class: "wide" }, h("code", { title: one.spec_hash }, short(one.spec_hash))), h("td", { class: "wide soft" }, one.created_by), h("td", { class: "num soft", title: moment(one.created_at) }, since(one.created_at)))))
      : empty("No specs", "The first run locks one."),
    page.next ? h("p", { class: "pager" }, h("a", { class: "button", href: `/console/specs?after=${encodeURIComponent(page.next)}` }, "More")) : null));
};

const TONE = { added: "good", removed: "bad", changed: "warn" };
const changes = (found, before) => (found.length ? table(`Changes since version ${before}`, ["Key", "What", "Before", "After"], found.map((one) => h("tr", null,
  h("th", { scope: "row" }, h("code", null, one.path)), h("td", null, badge(one.how, TONE[one.how])), h("td", null, h("code", null, plain(one.before))), h("td", null, h("code", null, plain(one.after))))))
  : h("p", { class: "soft" }, "Nothing: the two are equal."));

// One version with its difference to another; `one` is anything with kind, name, version and spec_hash.
export const specPart = async (view, panel, one) => {
  const place = h("div");
  const diff = h("div", { "aria-live": "polite" });
  const compare = async (version) => {
    const other = await view.call("control", "get_spec", { spec: `${one.kind}/${one.name}`, version });
    const found = await view.call("control", "get_spec", { spec: one.spec_hash, diff_with: other.spec_hash });
    diff.replaceChildren(changes(found.changes, version));
  };
  panel.append(place);
  try {
    const found = await view.call("control", "get_spec", { spec: one.spec_hash });
    const others = Array.from({ length: one.version - 1 }, (_, i) => one.version - 1 - i).slice(0, 50);
    const choice = h("select", { on: { change: () => compare(Number(choice.value)).catch(() => {}) } }, others.map((version) => h("option", { value: version }, `version ${version}`)));
    place.append(others.length ? h("section", { class: "card" }, h("div", { class: "title" }, h("h2", null, "Changes since"), h("label", null, h("span", { class: "unseen" }, "Compare with"), choice)), diff) : "",
      card("As it was hashed", h("p", { class: "soft" }, h("code", null, found.spec_hash), ` \u00b7 locked by ${found.created_by}, ${moment(found.created_at)}`),
        h("pre", { tabindex: 0, role: "region", "aria-label": "Spec as JSON" }, JSON.stringify(found.body, null, 2))));
    if (others.length) await compare(others[0]);
  } catch (error) {
    if (error.name !== "AbortError") place.append(h("p", { class: "bad" }, `${error.message} ${error.hint ?? ""}`));
  }
};

export const spec = async (view, kind, name) => {
  const one = await view.call("control", "get_spec", { spec: `${kind}/${name}` });
  const panel = h("div");
  view.draw(one.name, h("p", { class: "crumb" }, h("a", { href: "/console/specs" }, "Specs"), ` / ${kind}`),
    h("div", { class: "title" }, h("h1", { tabindex: -1 }, one.name, h("span", { class: "soft" }, ` v${one.version}`)),
      h("div", { class: "actions" }, h("a", { class: "button", href: `/console/runs?kind=${kind}&name=${encodeURIComponent(name)}` }, "Its runs"))), panel);
  await specPart(view, panel, one);
};
