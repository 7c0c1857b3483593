// A host for one MCP App (2026-01-26): a frame of another origin that may draw, and ask its own server, and nothing else.
import { h } from "./dom.js";
import { call } from "./wire.js";

const LARGEST = 20_000;
const dark = matchMedia("(prefers-color-scheme: dark)");

export const app = ({ server, title, tools, args, result, signal }) => {
  const frame = h("iframe", { class: "app", title, sandbox: "allow-scripts", src: `/console/view/${server}`, loading: "eager" });
  const post = (message) => frame.contentWindow?.postMessage({ jsonrpc: "2.0", ...message }, "*"); // its origin has no name
  const tell = (method, params) => post({ method, params });
  const context = () => ({ theme: dark.matches ? "dark" : "light", displayMode: "inline" });
  const asked = {
    "ui/initialize": () => ({ protocolVersion: "2026-01-26", hostInfo: { name: "alphaswarm-console", version: "1" }, hostCapabilities: { serverTools: {} }, hostContext: context() }),
    ping: () => ({}),
    "tools/call": async ({ name, arguments: given = {} }) => {
      if (!tools.includes(name)) throw new Error(`${name} is not offered`);
      try {
        return { content: [], structuredContent: await call(server, name, given, signal) };
      } catch (error) {
        return { isError: true, content: [], structuredContent: { code: error.code, message: error.message, hint: error.hint } };
      }
    },
  };
  const heard = {
    "ui/notifications/initialized": () => {
      tell("ui/notifications/tool-input", { arguments: args });
      result.then((structuredContent) => tell("ui/notifications/tool-result", { content: [], structuredContent }),
        (error) => tell("ui/notifications/tool-result", { isError: true, content: [], structuredContent: { code: error.code, message: error.message, hint: error.hint } }));
    },
    "ui/notifications/size-changed": ({ height }) => {
      if (Number.isFinite(height)) frame.style.height = `${Math.min(Math.max(height, 200), LARGEST)}px`;
    },
  };
  const listen = async ({ source, data }) => {
    if (source !== frame.contentWindow || data?.jsonrpc !== "2.0" || typeof data.method !== "string") return;
    if (data.id === undefined) return void (Object.hasOwn(heard, data.method) && heard[data.method](data.params ?? {}));
    try {
      if (!Object.hasOwn(asked, data.method)) throw new Error(`${data.method} is not offered`);
      post({ id: data.id, result: await asked[data.method](data.params ?? {}) });
    } catch (error) {
      post({ id: data.id, error: { code: -32601, message: error.message } });
    }
  };
  addEventListener("message", listen, { signal });
  dark.addEventListener("change", () => tell("ui/notifications/host-context-changed", context()), { signal });
  return frame;
};
