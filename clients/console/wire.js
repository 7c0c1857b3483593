// The console's own server, and nobody else: calls carry the session's cookie and its token against forgery.
let csrf = "";

export class Failure extends Error {
  constructor({ code, message, hint = "", facts = {} }, status) {
    super(message);
    Object.assign(this, { code, hint, facts, status });
  }
}

export const events = new EventTarget();
const tell = (name) => events.dispatchEvent(new Event(name));

const ask = async (path, { body, signal, again = false } = {}) => {
  let answer;
  try {
    answer = await fetch(`/console/${path}`, body === undefined ? { signal } : {
      method: "POST", signal, body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    tell("silent");
    throw new Failure({ code: "unreachable", message: "AlphaSwarm does not answer.", hint: "Start the suite with alphaswarm up." }, 0);
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) {
    tell("answered");
    return said;
  }
  if (answer.status === 403 && body !== undefined && !again && await renewed()) return ask(path, { body, signal, again: true });
  if (answer.status === 401) tell("ended");
  else if (answer.status === 503) tell("silent");
  throw new Failure({ code: "internal", message: "The answer could not be read.", ...said }, answer.status);
};

export const session = async () => {
  const found = await ask("session");
  csrf = found.csrf;
  events.dispatchEvent(new CustomEvent("noticed", { detail: found.notices }));
  return found;
};
// Another tab may have signed in meanwhile: the browser has one secret, and a new one has a new token.
const renewed = async () => {
  const before = csrf;
  await session().catch(() => {});
  return csrf !== before;
};
export const call = (server, tool, args = {}, signal) => ask(`call/${server}/${tool}`, { body: args, signal });
export const health = (signal) => ask("health", { signal });
export const signOut = () => ask("sign-out", { body: {} });
// Leaves for the issuer, which asks for the second factor; the call is made when it sends us back.
export const stepUp = async (tool, args) => {
  const { location: there } = await ask("step-up", { body: { tool, arguments: args, next: location.pathname } });
  location.assign(there);
};

// Frames of some tasks, newest state kept by the server's cursor; returns what ends the stream.
export const frames = (tasks, heard, signal) => {
  if (!tasks.length) return;
  const source = new EventSource(`/console/frames?tasks=${tasks.join(",")}`);
  source.addEventListener("message", ({ data }) => heard(JSON.parse(data)));
  source.addEventListener("end", () => source.close());
  signal?.addEventListener("abort", () => source.close());
  return () => source.close();
};
