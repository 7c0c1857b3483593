// The console: who is signed in, which page is shown, and what every page has around it.
import { h } from "./dom.js";
import { announce, notice } from "./notices.js";
import * as pill from "./pill.js";
import { audit } from "./pages/audit.js";
import { map } from "./pages/map.js";
import { missing } from "./pages/missing.js";
import { run } from "./pages/run.js";
import { runs } from "./pages/runs.js";
import { signIn } from "./pages/signin.js";
import { spec, specs } from "./pages/specs.js";
import * as wire from "./wire.js";

const ROUTES = [
  [/^\/console(?:\/|\/runs)?$/, runs],
  [/^\/console\/runs\/([^/]+)$/, run],
  [/^\/console\/specs$/, specs],
  [/^\/console\/specs\/([^/]+)\/([^/]+)$/, spec],
  [/^\/console\/audit$/, audit],
  [/^\/console\/map$/, map],
];
const main = document.getElementById("main");
const trouble = document.getElementById("trouble");
let leaving = new AbortController();
let signedIn = false;

// What a page gets: where to draw, when to stop, and how to say its name.
const viewOf = (signal) => ({
  signal, call: (server, tool, args) => wire.call(server, tool, args, signal), go,
  query: new URLSearchParams(location.search),
  every: (seconds, work) => {
    const timer = setInterval(() => { if (!document.hidden) work(); }, seconds * 1000);
    signal.addEventListener("abort", () => clearInterval(timer));
  },
  draw: (title, ...children) => {
    if (signal.aborted) return;
    document.title = `${title} \u00b7 AlphaSwarm`;
    main.replaceChildren(...children.flat(Infinity).filter(Boolean));
  },
});

const failed = (view, error) => {
  if (error.name === "AbortError" || error.status === 401) return;
  if (error.code === "not_found" || (error.code === "invalid_arguments" && location.pathname.includes("/runs/"))) missing(view, error);
  else view.draw("Not now", h("div", { class: "lone" }, h("h1", { tabindex: -1 }, "This page cannot be shown now"), h("p", null, error.message), h("p", { class: "soft" }, error.hint ?? ""),
    h("button", { type: "button", on: { click: () => show() } }, "Try again")));
};

const show = async ({ focus = false } = {}) => {
  leaving.abort();
  leaving = new AbortController();
  const view = viewOf(leaving.signal);
  for (const link of document.querySelectorAll("nav a")) {
    const here = location.pathname === link.pathname || location.pathname.startsWith(`${link.pathname}/`) || (/^\/console\/?$/.test(location.pathname) && link.pathname === "/console/runs");
    here ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  }
  const found = ROUTES.map(([pattern, page]) => [location.pathname.match(pattern), page]).find(([match]) => match);
  main.setAttribute("aria-busy", "true");
  try {
    await (found ? found[1](view, ...found[0].slice(1).map(decodeURIComponent)) : missing(view));
  } catch (error) {
    failed(view, error);
  }
  if (view.signal.aborted) return;
  main.removeAttribute("aria-busy");
  if (focus) {
    scrollTo(0, 0);
    (main.querySelector("h1") ?? main).focus({ preventScroll: true });
  }
};

export const go = (address, { replace = false } = {}) => {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  return show({ focus: !replace });
};

const frame = (on, user = "") => {
  signedIn = on;
  document.getElementById("top").hidden = !on;
  document.getElementById("user").textContent = user;
};

const shut = (why = "") => {
  leaving.abort();
  leaving = new AbortController();
  pill.stop();
  frame(false);
  main.removeAttribute("aria-busy");
  signIn(viewOf(leaving.signal), why);
};

const open = async () => {
  const { user } = await wire.session();
  frame(true, user);
  pill.start();
  await show();
};

wire.events.addEventListener("ended", () => { if (signedIn) shut("ended"); });
wire.events.addEventListener("noticed", ({ detail }) => detail.forEach(notice));
wire.events.addEventListener("silent", () => {
  if (!trouble.hidden) return;
  trouble.textContent = "AlphaSwarm does not answer. Trying again; what you see may be out of date.";
  trouble.hidden = false;
});
wire.events.addEventListener("answered", () => {
  if (trouble.hidden) return;
  trouble.hidden = true;
  announce("AlphaSwarm answers again.");
});

addEventListener("popstate", () => { if (signedIn) show({ focus: true }); });
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  const plainClick = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !signedIn || !plainClick || event.defaultPrevented || link.target || link.origin !== location.origin || link.hash) return;
  if (!/^\/console(\/|$)/.test(link.pathname) || link.pathname === "/console/sign-in") return;
  event.preventDefault();
  go(link.pathname + link.search);
});
document.getElementById("leave").addEventListener("click", async () => {
  await wire.signOut().catch(() => {});
  shut("left");
});

const begin = () => open().catch((error) => {
  if (error.status === 401) return shut(new URLSearchParams(location.search).get("failed") ?? "");
  if (error.code !== "unreachable" && error.status !== 503) return failed(viewOf(leaving.signal), error);
  setTimeout(begin, 2000); // the banner says so
});
begin();
