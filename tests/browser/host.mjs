// A host of MCP Apps for tests: the bridge of the extension's own package, with calls answered by the page's server.
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

const asked = new URLSearchParams(window.location.search);
const frame = document.querySelector("iframe");
const call = async (name, values) => (await fetch("/call", { method: "POST", body: JSON.stringify({ name, arguments: values }) })).json();
const bridge = new AppBridge(null, { name: "test host", version: "1" }, { serverTools: {} }, { hostContext: { theme: asked.get("theme") } });
window.calls = [];
window.sizes = [];
bridge.oncalltool = async (params) => { window.calls.push(params); return call(params.name, params.arguments); };
bridge.onsizechange = (size) => { window.sizes.push(size); };
bridge.oninitialized = async () => {
  const values = JSON.parse(asked.get("plot"));
  await bridge.sendToolInput({ arguments: values });
  await bridge.sendToolResult(await call("plot", values));
};
window.bridge = bridge;
await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
frame.src = "/app";
