// Pictures of the console at work. Arguments: Chromium, base URL, name, password, the command, folder.
import { execFileSync } from "node:child_process";
import { opened, say } from "./chromium.mjs";

const [executable, base, username, password, command, folder] = process.argv.slice(2);
const written = [];
await opened(executable, async (page) => {
  const picture = async (name, height = 620, width = 1080) => {
    await page.setViewportSize({ width, height });
    await page.mouse.move(2, height - 2);
    const file = `${folder}/console-${name}.png`;
    await page.screenshot({ path: file, animations: "disabled" });
    written.push(file);
  };
  await page.setViewportSize({ width: 1080, height: 620 });
  await page.goto(`${base}/console`);
  await page.getByRole("link", { name: "Sign in" }).click();
  await page.fill("input[name=username]", username);
  await page.fill("input[name=password]", password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.locator("svg.spark").nth(3).waitFor();
  await page.locator("#pill[data-state=armed]").waitFor();
  await picture("runs", 452);
  await page.locator("tbody a").last().waitFor();
  await page.getByRole("row").filter({ hasText: "backtest" }).last().getByRole("link").click();
  await page.frameLocator("iframe.app").locator(".panel svg").first().waitFor();
  await page.waitForFunction(() => document.querySelector("iframe.app").offsetHeight > 900);
  await picture("run", 900);
  await page.goto(`${base}/console/map`);
  await page.locator("svg.map").waitFor();
  await picture("map", 660);
  await page.goto(`${base}/console/audit`);
  await page.locator(".seal[data-state=good]").waitFor();
  execFileSync(command, ["halt", "--kind", "backtest", "--local", "--reason", "Vendor feed stale since 09:31"]);
  await page.locator("#pill[data-state=halted]").waitFor();
  await page.locator("#pill").click();
  await page.locator("#switch .pressed").waitFor();
  await picture("halted", 700);
  say("written", written);
});
process.exit();
