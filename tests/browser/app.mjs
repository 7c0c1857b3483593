// Our page in a minimal host: drawn, dark, zoomed, paged, and deaf to everybody but its parent.
// Arguments: Chromium, server URL, token, run id. Prints one JSON line per fact.
import { build } from "esbuild";
import { createServer } from "node:http";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { opened, say } from "./chromium.mjs";

const [executable, url, token, run_id] = process.argv.slice(2);
const client = new Client({ name: "kit", version: "1" }, { versionNegotiation: { mode: "auto" } });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } }));
const tool = (await client.listTools()).tools.find((one) => one.name === "tear_sheet");
const uri = tool._meta.ui.resourceUri;
const [view] = (await client.readResource({ uri })).contents;
say("view", { uri, mime: view.mimeType, bytes: new TextEncoder().encode(view.text).length, meta: view._meta });
const result = await client.callTool({ name: "tear_sheet", arguments: { run_id } });

const { outputFiles: [script] } = await build({ entryPoints: ["host.js"], bundle: true, write: false, format: "iife", logLevel: "error" });
const server = createServer((_, answer) => answer.writeHead(200, { "content-type": "text/html" })
  .end(`<!doctype html><title>host</title><body><script>${script.text.replaceAll("</script", "<\\/script")}</script>`));
await new Promise((done) => server.listen(0, "127.0.0.1", done));

await opened(executable, async (page, { outside }) => {
  const calls = [];
  await page.exposeFunction("serve", async (params) => { calls.push(params); return client.callTool(params); });
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  say("app", await page.evaluate((html) => window.host(html), view.text));
  const sheet = page.frameLocator("iframe >> nth=0");
  const main = sheet.locator("main");
  const send = (answer) => page.evaluate((one) => window.bridge.sendToolResult(one), answer);
  const drawn = () => sheet.locator("path.curve.accent").getAttribute("d");

  await send(result);
  await sheet.locator(".panel svg").first().waitFor();
  say("drawn", { state: await main.getAttribute("data-state"), panels: await sheet.locator(".panel svg").count(),
    title: await sheet.locator("h1").innerText(), tiles: await sheet.locator(".tile").count(),
    months: await sheet.locator("table.heat td").count(), text: await main.innerText() });

  const colour = () => sheet.locator("body").evaluate((body) => getComputedStyle(body).backgroundColor);
  const light = await colour();
  await page.evaluate(() => window.bridge.sendHostContextChange({ theme: "dark" }));
  await sheet.locator("html[data-theme=dark]").waitFor({ state: "attached" });
  say("themes", [light, await colour()]);

  const readout = sheet.locator(".readout");
  const panel = sheet.locator(".panel").first();
  await panel.focus();
  const before = await readout.innerText();
  await panel.press("Home");
  const first = await readout.innerText();
  const whole = await drawn();
  await panel.press("0");
  await panel.press("+");
  say("keys", { before, first, zoomed: await readout.innerText(), redrawn: (await drawn()) !== whole });
  await panel.press("0");
  const box = await panel.boundingBox();
  await page.mouse.move(box.x + 300, box.y + 60);
  await page.mouse.down();
  await page.mouse.move(box.x + 600, box.y + 60, { steps: 3 });
  await page.mouse.up();
  say("dragged", await readout.innerText());
  await panel.press("0");

  await sheet.getByRole("button", { name: "Load more" }).click();
  await sheet.getByRole("button", { name: /All loaded|Load more/ }).waitFor();
  await page.waitForFunction(() => true);
  say("calls", calls);

  const rows = result.structuredContent.curve.rows.slice(0, 40);
  const mixed = [...rows].reverse().concat([rows[5], [null, 1, 0, 0, 0], [rows[7][0], null, 0, 0, 0]]);
  const messy = structuredClone(result);
  Object.assign(messy.structuredContent.curve, { rows: mixed, bars: mixed.length });
  await send(messy);
  await page.waitForTimeout(300);
  const across = (await drawn()).match(/[ML][-\d.]+/g).map((part) => Number(part.slice(1)));
  say("messy", { points: across.length, rising: across.every((x, i) => i === 0 || x > across[i - 1]) });

  await page.evaluate(() => new Promise((done) => {
    const stranger = document.createElement("iframe");
    stranger.srcdoc = `<script>parent.frames[0].postMessage({jsonrpc: "2.0", method: "ui/notifications/tool-cancelled", params: {}}, "*");parent.postMessage("sent", "*")</` + `script>`;
    addEventListener("message", (event) => event.data === "sent" && done());
    document.body.append(stranger);
  }));
  await page.waitForTimeout(200);
  say("stranger", await main.getAttribute("data-state"));
  await page.evaluate(() => document.querySelectorAll("iframe")[1].remove());

  await send({ isError: true, content: [], structuredContent: { code: "not_found", message: "No such run.", hint: "Look again." } });
  await sheet.locator("main[data-state=failed]").waitFor();
  say("error", await main.innerText());
  say("heights", await page.evaluate(() => window.heights));
  say("teardown", await page.evaluate(() => window.bridge.teardownResource({})));
  say("ended", await main.getAttribute("data-state"));
  await page.waitForTimeout(100);
  say("asked", outside.length);
});
server.close();
await client.close();
process.exit();
