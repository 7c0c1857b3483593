// Passkeys on a virtual device: enrolled, used alone, used as a second factor, copied, removed.
// Arguments: Chromium, issuer, ticket, name, password, authorization query. One JSON line per fact.
import { createServer } from "node:http";
import { opened, say } from "./chromium.mjs";

const [executable, issuer, ticket, username, password, query] = process.argv.slice(2);
const answers = [];
const client = createServer((request, answer) => {
  answers.push(request.url);
  answer.writeHead(200, { "content-type": "text/html" }).end("<title>client</title><p>answered</p>");
});
await new Promise((done) => client.listen(0, "127.0.0.1", done));
const redirect = `http://127.0.0.1:${client.address().port}/callback`;
say("redirect", redirect);
const asked = `${issuer}/authorize?${query}&redirect_uri=${encodeURIComponent(redirect)}`;

await opened(executable, async (page) => {
  const refused = [];
  page.on("console", (line) => line.type() === "error" && refused.push(line.text()));
  const context = page.context();
  const device = await context.newCDPSession(page);
  await device.send("WebAuthn.enable");
  const { authenticatorId } = await device.send("WebAuthn.addVirtualAuthenticator", {
    options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
      isUserVerified: true, automaticPresenceSimulation: true },
  });
  const keys = async () => (await device.send("WebAuthn.getCredentials", { authenticatorId })).credentials;
  const replace = async (key, signCount) => {
    await device.send("WebAuthn.clearCredentials", { authenticatorId });
    await device.send("WebAuthn.addCredential", { authenticatorId, credential: { ...key, signCount } });
  };
  const cookie = async () => (await context.cookies()).find((one) => one.name.startsWith("asw_login_"));
  const press = (name) => page.getByRole("button", { name }).click();
  const at = (path) => page.waitForURL((url) => url.pathname === path);

  await page.goto(`${issuer}/passkeys?ticket=${ticket}`);
  await page.getByLabel("Name of the device").fill("this <laptop>");
  await press("Make a passkey");
  await at("/as/login");
  const [made] = await keys();
  say("made", { host: made.rpId, resident: made.isResidentCredential });
  const stranger = await cookie();

  await press("Sign in with a passkey");
  await at("/as/passkeys");
  say("listed", await page.locator("dt").allInnerTexts());
  const signed = await cookie();
  say("cookie", { renewed: signed.value !== stranger.value, httpOnly: signed.httpOnly, sameSite: signed.sameSite });

  await page.goto(asked);
  await press("Allow");
  await page.getByText("answered").waitFor();
  say("alone", answers.at(-1));

  await context.clearCookies();
  await page.goto(asked);
  await page.fill("input[name=username]", username);
  await page.fill("input[name=password]", password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await at("/as/factor");
  const first = await cookie();
  await press("Use a passkey");
  await page.getByRole("button", { name: "Allow" }).or(page.getByText("answered")).waitFor();
  if (await page.getByRole("button", { name: "Allow" }).count()) await press("Allow");
  await page.getByText("answered").waitFor();
  say("second", answers.at(-1));
  say("stepped", (await cookie()).value !== first.value);

  const [used] = await keys();
  await context.clearCookies();
  await replace(used, 0);
  await page.goto(`${issuer}/login`);
  await press("Sign in with a passkey");
  await page.locator("p.error").first().waitFor();
  say("copied", await page.locator("p.error").first().innerText());

  await replace(used, used.signCount + 10);
  await press("Sign in with a passkey");
  await page.getByText("You are signed in").waitFor();
  await page.goto(`${issuer}/passkeys`);
  await press("Remove");
  await page.getByText("There is none").waitFor();
  await context.clearCookies();
  await page.goto(`${issuer}/login`);
  await press("Sign in with a passkey");
  await page.locator("p.error").first().waitFor();
  say("removed", await page.locator("p.error").first().innerText());

  const plain = await context.browser().newContext({ javaScriptEnabled: false });
  const without = await plain.newPage();
  await without.goto(`${issuer}/login`);
  say("without", { passkey: await without.getByRole("button", { name: "Sign in with a passkey" }).count(),
    password: await without.locator("input[name=password]").isVisible() });
  await plain.close();
  say("refused", refused.filter((line) => /Content.Security|script/i.test(line)));
});
client.close();
process.exit();
