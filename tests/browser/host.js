// The smallest MCP Apps host there is: the public AppBridge around one sandboxed frame.
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

const CSP = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

window.host = async (html) => {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts");
  frame.style.cssText = "width:100%;height:500px;border:0";
  document.body.append(frame);
  const bridge = new AppBridge(null, { name: "kit", version: "1" }, { serverTools: {} }, { hostContext: { theme: "light" } });
  const heights = [];
  bridge.oncalltool = (params) => window.serve(params);
  bridge.onsizechange = ({ height }) => { heights.push(height); frame.style.height = `${height}px`; };
  const initialized = new Promise((resolve) => { bridge.oninitialized = resolve; });
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  frame.srcdoc = html.replace("<head>", `<head><meta http-equiv="Content-Security-Policy" content="${CSP}">`);
  await initialized;
  Object.assign(window, { bridge, heights });
  return bridge.getAppVersion();
};
