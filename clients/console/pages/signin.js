// Nobody is signed in: one button to the issuer, which leads back to this very page.
import { h } from "../dom.js";

const WHY = {
  ended: "Your session has ended. Sign in again, and you are back on this page.",
  left: "You are signed out. This browser may still be known to the issuer: the next sign-in asks for your password.",
  stale: "That sign-in was out of date. Start again.",
  sign_in_required: "The sign-in was not finished.",
  access_denied: "The answer did not come from our issuer. Nobody was signed in.",
  unreachable: "The issuer does not answer. Start the suite with alphaswarm up.",
};

export const signIn = (view, why) => {
  const query = new URLSearchParams(location.search);
  query.delete("failed");
  const next = location.pathname + (query.size ? `?${query}` : "");
  const address = `/console/sign-in?next=${encodeURIComponent(next)}${why === "left" ? "&fresh=1" : ""}`;
  view.draw("Sign in", h("div", { class: "door" },
    h("img", { src: "/console/static/mark.svg", alt: "", width: 44, height: 44 }),
    h("h1", { tabindex: -1 }, "AlphaSwarm"),
    h("p", { class: "soft" }, "Runs, specs, audit and the kill switch of the suite on this machine."),
    why ? h("p", { class: "why", role: "status" }, WHY[why] ?? "The sign-in did not work.") : null,
    h("a", { class: "button primary", href: address }, "Sign in"),
    h("p", { class: "hint" }, "No password yet? ", h("code", null, "alphaswarm user passwd"))));
};
