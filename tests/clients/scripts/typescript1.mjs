// The TypeScript SDK 1.x: node typescript1.mjs URL COMMAND ARGUMENT...   (a URL of "-" means stdio)
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, command, ...args] = process.argv.slice(2);
const transport = url === "-" ? new StdioClientTransport({ command, args }) : new StreamableHTTPClientTransport(new URL(url));
const client = new Client({ name: "sweeplens-tests", version: "1" });
await client.connect(transport);
const { tools } = await client.listTools();
const answer = await client.callTool({ name: "overview", arguments: {} });
const { resources } = await client.listResources();
const { contents } = await client.readResource({ uri: "experiments://runs" });
const { prompts } = await client.listPrompts();
const wrong = await client.callTool({ name: "get_run", arguments: { run_id: "no such run" } });
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
