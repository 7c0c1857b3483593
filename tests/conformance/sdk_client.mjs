// The TypeScript SDK as an editor would use it: register, sign in, list, call, step up.
// Prints one JSON line per thing that the test must do or know; reads callback URLs from stdin.
import { createInterface } from "node:readline";
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";

const [url, mode, callback] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (word, value) => console.log(JSON.stringify({ word, value }));

const memory = {};
const provider = {
  get redirectUrl() { return callback; },
  get clientMetadata() {
    return { client_name: "Kit", redirect_uris: [callback], grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"], token_endpoint_auth_method: "none" };
  },
  state: () => "kit-state",
  clientInformation: () => memory.client,
  saveClientInformation: (client) => { memory.client = client; },
  tokens: () => memory.tokens,
  saveTokens: (tokens) => { memory.tokens = tokens; },
  redirectToAuthorization: (address) => say("authorize", String(address)),
  saveCodeVerifier: (verifier) => { memory.verifier = verifier; },
  codeVerifier: () => memory.verifier,
  saveDiscoveryState: (state) => { memory.discovery = state; },
  discoveryState: () => memory.discovery,
};

const connect = async () => {
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  const client = new Client({ name: "kit", version: "1" }, { versionNegotiation: { mode } });
  return { client, transport };
};

const signedIn = async (work) => {
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const { client, transport } = await connect();
    try {
      await client.connect(transport);
      const result = await work(client);
      await client.close();
      return result;
    } catch (error) {
      if (!(error instanceof UnauthorizedError)) throw error;
      await transport.finishAuth(new URL((await lines.next()).value).searchParams);
    }
  }
  throw new Error("signed in three times and still not allowed");
};

const tool = async (name, args) => {
  const result = await signedIn((client) => client.callTool({ name, arguments: args }));
  say(name, { isError: result.isError ?? false, structured: result.structuredContent });
};

try {
  say("tools", (await signedIn((client) => client.listTools())).tools.map((one) => one.name));
  await tool("list_tables", {});
  await tool("search_symbols", { wrong: 1 });
  await tool("cancel_run", { run_id: "0".repeat(26) });
  say("scope", memory.tokens.scope);
} catch (error) {
  say("crash", String(error?.stack ?? error));
  process.exitCode = 1;
}
process.exit();
