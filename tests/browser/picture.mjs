// A picture of a page down to its curves, as a browser draws it. Arguments: Chromium, address, file.
import { opened, say } from "./chromium.mjs";

const [executable, address, file] = process.argv.slice(2);
await opened(executable, async (page) => {
  await page.setViewportSize({ width: 1080, height: 900 });
  await page.goto(address);
  await page.locator(".panel svg").first().waitFor();
  const curves = await page.locator("section:has(.charts)").boundingBox();
  const clip = { x: 0, y: 0, width: 1080, height: curves.y + curves.height + 20 };
  await page.screenshot({ path: file, fullPage: true, clip });
  say("written", file);
});
process.exit();
