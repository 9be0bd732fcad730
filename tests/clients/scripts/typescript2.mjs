// The TypeScript SDK 2.x: node typescript2.mjs ERA URL COMMAND ARGUMENT...   (a URL of "-" means stdio)
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [era, url, command, ...args] = process.argv.slice(2);
const transport = url === "-" ? new StdioClientTransport({ command, args }) : new StreamableHTTPClientTransport(new URL(url));
const mode = era === "modern" ? "auto" : "legacy";
const client = new Client({ name: "sweeplens-tests", version: "1" }, { versionNegotiation: { mode } });
await client.connect(transport);
if (client.getProtocolEra() !== era) throw new Error(`spoke ${client.getProtocolEra()}, not ${era}`);
const { tools } = await client.listTools();
const answer = await client.callTool({ name: "overview", arguments: {} });
const { resources } = await client.listResources();
const { contents } = await client.readResource({ uri: "experiments://runs" });
const { prompts } = await client.listPrompts();
const wrong = await client.callTool({ name: "get_run", arguments: { run_id: "no such run" } });
if (era === "modern") {
  const stream = await client.listen({ resourceSubscriptions: ["experiments://runs"] });
  await stream.close();
} else {
  await client.subscribeResource({ uri: "experiments://runs" });
}
await client.close();
console.log(JSON.stringify({
  tools: tools.map((tool) => tool.name),
  text: answer.content[0].text.length,
  structured: Object.keys(answer.structuredContent).length,
  resources: resources.length,
  read: contents[0].text.length,
  prompts: prompts.length,
  refused: wrong.isError === true,
}));
