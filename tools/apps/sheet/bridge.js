// The line to an MCP host (MCP Apps 2026-01-26): JSON-RPC by postMessage, heard from our parent only.
const bridge = (name, on) => {
  const asked = new Map();
  let last = 0;
  const post = (message) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  const tell = (method, params = {}) => post({ method, params });
  const ask = (method, params = {}) => new Promise((resolve, reject) => {
    asked.set(++last, { resolve, reject });
    post({ id: last, method, params });
  });
  const answer = (id, method, params) => {
    const known = method === "ping" || method === "ui/resource-teardown";
    if (known) on[method]?.(params);
    post(known ? { id, result: {} } : { id, error: { code: -32601, message: `${method} is not offered` } });
  };
  addEventListener("message", ({ source, data }) => {
    if (source !== parent || data?.jsonrpc !== "2.0") return;
    if (data.method && data.id !== undefined) return answer(data.id, data.method, data.params);
    if (data.method) return on[data.method]?.(data.params ?? {});
    const { resolve, reject } = asked.get(data.id) ?? {};
    asked.delete(data.id);
    data.error ? reject?.(data.error) : resolve?.(data.result);
  });
  const size = () => tell("ui/notifications/size-changed", {
    width: Math.ceil(document.documentElement.scrollWidth),
    height: Math.ceil(document.body.getBoundingClientRect().height) });
  const opened = ask("ui/initialize", { appInfo: { name, version: "1" }, appCapabilities: {}, protocolVersion: "2026-01-26" })
    .then((host) => {
      tell("ui/notifications/initialized");
      new ResizeObserver(size).observe(document.body);
      return host;
    });
  return { opened, call: (tool, args) => ask("tools/call", { name: tool, arguments: args }) };
};
