// The console as a person uses it, from the sign-in to the sign-out. One JSON line per fact.
// Arguments: Chromium, base URL, hands, name, password, a finished backtest, axe-core's file.
import { readFileSync } from "node:fs";
import { opened, say } from "./chromium.mjs";

const [executable, base, hands, username, password, finished, axeFile] = process.argv.slice(2);
const axe = readFileSync(axeFile, "utf8");
const act = async (name) => {
  const answer = await fetch(`${hands}/${name}`, { method: "POST" });
  const said = await answer.json();
  if (!answer.ok) throw new Error(`${name}: ${said}`);
  return said;
};

await opened(executable, async (page) => {
  const context = page.context(), heard = [], refused = [];
  page.on("response", async (answer) => {
    if (answer.url().includes("/console/") && !answer.url().includes("/frames")) heard.push(await answer.text().catch(() => ""));
  });
  page.on("console", (line) => { if (line.type() === "error" && !/40[134]|ERR_INTERNET_DISCONNECTED/.test(line.text())) refused.push(line.text()); });
  const pill = page.locator("#pill"), main = page.locator("#main"), dialog = page.locator("#switch");
  const pillSays = (text) => page.locator("#pill .word", { hasText: text }).waitFor();
  const title = (name) => page.getByRole("heading", { level: 1, name }).waitFor();
  const at = (path) => page.waitForURL((url) => url.pathname === path);
  const visit = async (path, name) => { await page.goto(base + path); await title(name); };
  const click = (name) => page.getByRole("button", { name, exact: true }).click();
  const problems = {}, widths = {};
  const checked = async (word) => {
    const found = await page.evaluate(`${axe};axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})`);
    problems[word] = found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
    await page.setViewportSize({ width: 360, height: 740 });
    widths[word] = await page.evaluate(() => document.documentElement.scrollWidth);
    await page.setViewportSize({ width: 1200, height: 900 });
  };
  const signIn = async () => {
    await page.getByRole("link", { name: "Sign in" }).click();
    await page.fill("input[name=username]", username);
    await page.fill("input[name=password]", password);
    await click("Sign in");
  };

  const first = await page.goto(`${base}/console/audit`);
  const policy = first.headers()["content-security-policy"];
  await title("AlphaSwarm");
  await checked("sign-in");
  say("stranger", { bar: await page.locator("#top").isVisible(), policy });
  await signIn();
  await at("/console/audit");
  await title("Audit");
  say("signed", { user: await page.locator("#user").innerText(), path: new URL(page.url()).pathname });
  await pillSays("Armed");

  // the keyboard alone: skip link, pages, the kill switch and back
  await visit("/console/runs", "Runs");
  const order = [];
  for (let i = 0; i < 8; i += 1) {
    await page.keyboard.press("Tab");
    order.push(await page.evaluate(() => document.activeElement.innerText.trim().replace(/\s+/g, " ")));
  }
  await pill.focus();
  await page.keyboard.press("Enter");
  await dialog.waitFor();
  const inside = await page.evaluate(() => document.activeElement.closest("dialog") !== null);
  await checked("switch");
  await page.keyboard.press("Escape");
  say("keys", { order, inside, back: await page.evaluate(() => document.activeElement.id) });

  // a run at work, in the list and on its own page
  const run = await act("begin");
  const row = page.locator(`tr[data-run="${run}"]`);
  await row.getByText("running").waitFor();
  await act("step");
  await row.getByText("1 of 10").waitFor();
  await checked("runs");
  await row.getByRole("link").focus();
  await page.keyboard.press("Enter");
  await at(`/console/runs/${run}`);
  await title(/at-the-console/);
  say("focus", await page.evaluate(() => document.activeElement.tagName));
  await act("step");
  await main.locator(".meter").getByText("2 of 10").waitFor();
  await page.getByRole("tab", { name: "Overview" }).focus();
  await page.keyboard.press("End");
  await main.locator(".log li").first().waitFor();
  say("frames", await main.locator(".log li").allInnerTexts());

  // halted by somebody else, lifted here
  await act("press");
  await pillSays("Halting 0 of 1");
  await act("give_way");
  await pillSays("Halted: run:");
  await main.getByText("halted", { exact: true }).first().waitFor();
  await pill.click();
  const told = await dialog.locator(".pressed").innerText();
  say("halted", { state: await pill.getAttribute("data-state"), told, about: await pill.locator(".about").innerText(), live: await page.locator("#said").innerText() });
  await checked("halted");
  await page.emulateMedia({ colorScheme: "dark" });
  await checked("halted in the dark");
  await page.emulateMedia({ colorScheme: "light" });
  await dialog.getByText("Lift this halt", { exact: true }).click();
  for (const name of ["No orders are open", "Positions are known"]) await dialog.getByLabel(name).check();
  await dialog.locator(".pressed").getByLabel("Reason").fill("looked at <b>it</b>");
  await click("Lift this halt\u2026");
  await page.fill("input[name=code]", await act("code"));
  await click("Continue");
  say("asked", await page.locator("dl").innerText());
  await click("Allow");
  await at(`/console/runs/${run}`);
  await pillSays("Armed");
  say("lifted", await page.locator("#notices").innerText());

  // halted here, by a second factor that is still fresh
  await pill.click();
  await dialog.getByLabel("What stops").selectOption("kind:bot");
  await dialog.locator(".halt").getByLabel("Reason").fill("halted at the console");
  await click("Halt\u2026");
  await click("Allow");
  await at(`/console/runs/${run}`);
  await pillSays("Halted: kind:bot");
  say("pressed", { notice: await page.locator("#notices").innerText(), ledger: await act("standing") });
  await act("lift");
  await pillSays("Armed");

  // cancelled here, by the same factor
  const waiting = await act("queue_one");
  await visit(`/console/runs/${waiting}`, /never-begun/);
  await click("Cancel run\u2026");
  await page.locator("#notices .notice").waitFor();
  await main.getByText("cancelled", { exact: true }).first().waitFor();
  say("cancelled", { notice: await page.locator("#notices").innerText(), status: await main.locator(".title .badge").innerText() });

  // a finished backtest
  await visit(`/console/runs/${finished}`, /in-the-console/);
  const sheet = page.frameLocator("iframe.app");
  await sheet.locator(".panel svg").first().waitFor();
  const more = sheet.getByRole("button", { name: "Load more" });
  await more.click();
  await sheet.getByRole("button", { name: /All loaded|Load more/ }).waitFor();
  say("sheet", { panels: await sheet.locator(".panel svg").count(), title: await sheet.locator("h1").innerText(), sandbox: await page.locator("iframe.app").getAttribute("sandbox"),
    origin: await sheet.locator("body").evaluate(() => origin), height: (await page.locator("iframe.app").boundingBox()).height > 1000 });
  await page.getByRole("tab", { name: "Rows" }).click();
  await main.locator("td.num").first().waitFor();
  await page.getByRole("button", { name: "trades", exact: true }).click();
  await main.getByText(/alphaswarm_gold_backtests.trades/).first().waitFor();
  const rows = await main.locator("#panel-rows tbody tr").count();
  await checked("rows");
  await page.getByRole("tab", { name: "Spec" }).click();
  await main.locator("pre").waitFor();
  await main.locator("#panel-spec tbody tr").first().waitFor();
  say("parts", { rows, changes: await main.locator("#panel-spec tbody tr").allInnerTexts() });
  await checked("run");

  // the chain of the audit ledger
  await visit("/console/audit", "Audit");
  const seal = page.locator(".seal");
  await page.locator('.seal[data-state="good"]').waitFor();
  const whole = await seal.innerText();
  await checked("audit");
  const seq = await act("tamper");
  await click("Verify now");
  await page.locator('.seal[data-state="bad"]').waitFor();
  say("chain", { whole, broken: await seal.innerText(), seq, marked: await page.locator("tr.broken").getAttribute("data-seq") });
  await checked("broken");
  await act("mend");
  await click("Verify now");
  await page.locator('.seal[data-state="good"]').waitFor();

  await visit("/console/map", "Map");
  await page.locator("svg.map").waitFor();
  say("map", { drawn: await page.locator("svg.map .name").allTextContents(), states: await main.locator("tbody tr").allInnerTexts() });
  await checked("map");
  await visit("/console/specs", "Specs");
  await checked("specs");
  const nowhere = await page.goto(`${base}/console/nothing`);
  await title("Not found");
  await visit("/console/runs/00000000000000000000000000", "Not found");
  await checked("missing");
  say("missing", { status: nowhere.status(), text: await main.innerText() });

  // the machine goes away and comes back
  await visit("/console/runs", "Runs");
  await context.setOffline(true);
  await page.locator("#trouble").waitFor();
  await pillSays("Unknown");
  say("offline", { banner: await page.locator("#trouble").innerText(), rows: (await main.locator("tbody tr").count()) > 0 });
  await context.setOffline(false);
  await page.locator("#trouble").waitFor({ state: "hidden" });
  await pillSays("Armed");

  // another tab signs in anew, and this one goes on
  const [other] = await Promise.all([page.waitForEvent("popup"), page.evaluate(() => { open("/console/sign-in?next=/console/specs"); })]);
  await other.getByRole("heading", { level: 1, name: "Specs" }).waitFor();
  await other.close();
  await page.getByRole("link", { name: "Map", exact: true }).click();
  await page.locator("svg.map").waitFor();

  // what the browser holds
  const cookie = (await context.cookies()).find((one) => one.name.startsWith("asw_console_"));
  const held = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.documentElement.outerHTML]));
  say("held", { httpOnly: cookie.httpOnly, sameSite: cookie.sameSite, path: cookie.path, script: await page.evaluate(() => document.cookie),
    answers: heard.length, secrets: [...heard, held].filter((text) => /eyJ[\w-]{8,}\.|access_token|refresh_token/.test(text) || text.includes(cookie.value)).map((text) => text.slice(0, 200)) });
  say("hacked", { run: await page.evaluate(() => window.hacked ?? null), images: await page.locator('img[src="x"]').count() });

  // the grant ends somewhere else: back to the sign-in, and then to this very page
  await visit("/console/specs", "Specs");
  await act("expire");
  await title("AlphaSwarm");
  const ended = await main.innerText();
  await signIn();
  await at("/console/specs");
  await title("Specs");
  await page.getByRole("button", { name: "Sign out" }).click();
  await title("AlphaSwarm");
  say("over", { ended, left: await main.innerText(), cookies: (await context.cookies()).filter((one) => one.name === cookie.name).length });
  say("problems", problems);
  say("widths", widths);
  say("refused", refused);
});
process.exit();
