// The public MCP Inspector in a real browser: sign in, open the app, see the page.
// Arguments: Chromium, Inspector address, name, password, run id. Prints one JSON line per fact.
import { opened, say } from "./chromium.mjs";

const [executable, address, username, password, run_id] = process.argv.slice(2);

await opened(executable, async (page) => {
  await page.goto(address);
  await page.getByRole("switch").first().click({ force: true });
  await page.locator("input[name=password]").waitFor();
  await page.fill("input[name=username]", username);
  await page.fill("input[name=password]", password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("button", { name: "Allow" }).click();
  await page.getByText("Apps", { exact: true }).first().click();
  await page.getByText("Show a tear sheet", { exact: true }).first().click();
  await page.getByLabel(/run_id/).first().fill(run_id);
  await page.getByRole("button", { name: "Open App" }).click();
  let sheet;
  for (const end = Date.now() + 60000; !sheet && Date.now() < end; await page.waitForTimeout(100)) {
    for (const frame of page.frames()) if (await frame.locator(".panel svg").count().catch(() => 0)) sheet = frame;
  }
  say("frame", sheet.url());
  say("drawn", { panels: await sheet.locator(".panel svg").count(), title: await sheet.locator("h1").innerText(),
    tiles: await sheet.locator(".tile").count(), state: await sheet.locator("main").getAttribute("data-state") });
});
process.exit();
