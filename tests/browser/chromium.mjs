// A real Chromium that may reach this machine only, and a list of whoever tried more.
import { chromium } from "playwright-core";

const HERE = /^(http:\/\/(localhost|127\.0\.0\.1|\[::1\])[:/]|data:|blob:|about:|file:)/;
export const say = (word, value) => console.log(JSON.stringify({ word, value }));

export const opened = async (executable, work) => {
  const browser = await chromium.launch({ executablePath: executable, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    page.setDefaultTimeout(60000);
    const outside = [], errors = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.route((url) => !HERE.test(url.href), (route) => {
      outside.push({ frame: route.request().frame().url(), url: route.request().url() });
      return route.abort();
    });
    await work(page, { outside, errors });
    say("outside", outside);
    say("errors", errors);
  } catch (error) {
    say("crash", String(error?.stack ?? error));
  } finally {
    await browser.close();
  }
};
