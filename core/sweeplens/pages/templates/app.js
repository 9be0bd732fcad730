"use strict";
// Shows the chart of the tool `plot`. The host passes the tool's result with its chart_id; this page then calls `chart_data`
// through the host to get the data. Messages are JSON-RPC, to and from the window that holds this page.
(() => {
  const host = window.parent;
  const waiting = new Map();
  const said = document.getElementById("said");
  let number = 0;
  let chart = null;
  let asked = {}; // the arguments of `plot` that the chart shows
  let theme = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const send = (message) => host.postMessage({ jsonrpc: "2.0", ...message }, "*");
  const request = (method, params) => new Promise((resolve, reject) => {
    number += 1;
    waiting.set(number, { resolve, reject });
    send({ id: number, method, params });
  });
  const say = (text) => { said.textContent = text; said.hidden = !text; };
  const resized = () => send({
    method: "ui/notifications/size-changed",
    params: { width: document.documentElement.scrollWidth, height: Math.ceil(document.body.getBoundingClientRect().height) + 16 },
  });
  const draw = async () => {
    document.documentElement.style.colorScheme = theme;
    document.documentElement.dataset.theme = theme;
    if (!chart || !window.vegaEmbed) return;
    const place = document.getElementById("chart");
    place.closest("figure").hidden = false;
    place.closest("figure").setAttribute("aria-label", chart.title);
    document.getElementById("title").textContent = chart.title;
    document.getElementById("caption").textContent = chart.caption;
    await drawChart(place, chart.spec, chart.themes[theme], (run) => { askRun(run).catch(failed); });
    say("");
    resized();
  };
  const wordsOf = (result) => (result.content || []).map((part) => part.text || "").join(" ");
  const get = async (id) => {
    const found = await request("tools/call", { name: "chart_data", arguments: { chart_id: id } });
    if (found.isError) { say(wordsOf(found)); return; }
    chart = found.structuredContent;
    switches();
    await draw();
  };
  const show = async (result) => {
    if (!window.vegaEmbed) return; // the page says already that the renderer is not installed
    const id = result && result.structuredContent && result.structuredContent.chart_id;
    if (!id) { say("The host gave no chart to show; its picture and words stand in the answer."); return; }
    asked = read(id);
    await get(id);
  };
  // The id of a chart is what `plot` was asked, as JSON in base64 for addresses: so another one is asked for with other arguments.
  const read = (id) => JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(id.replace(/-/g, "+").replace(/_/g, "/")), (sign) => sign.codePointAt(0))));
  const written = (values) => btoa(String.fromCodePoint(...new TextEncoder().encode(JSON.stringify(values)))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const isLog = (axis) => (chart.spec.layer || []).some((layer) => layer.encoding[axis] && layer.encoding[axis].scale && layer.encoding[axis].scale.type === "log");
  const boxes = { smooth: document.getElementById("smooth"), x: document.getElementById("log-x"), y: document.getElementById("log-y") };
  const switches = () => {
    const kind = chart.spec.usermeta && chart.spec.usermeta.kind;
    document.getElementById("switches").hidden = kind !== "curves" && kind !== "scatter";
    boxes.smooth.closest("label").hidden = kind !== "curves";
    boxes.smooth.value = String(asked.smooth || 0);
    for (const axis of ["x", "y"]) boxes[axis].checked = isLog(axis);
  };
  const changed = () => {
    const log = ["x", "y"].filter((axis) => boxes[axis].checked).join("") || "none";
    asked = { ...asked, kind: chart.spec.usermeta.kind, smooth: Number(boxes.smooth.value), log };
    get(written(asked)).catch(failed);
  };
  for (const box of Object.values(boxes)) box.addEventListener("change", changed);
  const answer = document.getElementById("answer");
  const askRun = async (run) => {
    const found = await request("tools/call", { name: "get_run", arguments: { run_id: run } });
    document.getElementById("answer-title").textContent = run;
    answer.querySelector("pre").textContent = wordsOf(found);
    answer.hidden = false;
    resized();
  };
  document.getElementById("close").addEventListener("click", () => { answer.hidden = true; resized(); });
  const look = (context) => {
    if (context && (context.theme === "dark" || context.theme === "light")) theme = context.theme;
    return draw();
  };
  const failed = (error) => say(`The chart cannot be shown: ${error.message || error}`);
  const heard = {
    "ui/notifications/tool-result": show,
    "ui/notifications/host-context-changed": look,
    "ui/notifications/tool-cancelled": () => say("The call was cancelled."),
  };
  window.addEventListener("message", (event) => {
    const message = event.data;
    if (event.source !== host || !message || message.jsonrpc !== "2.0") return;
    if (message.method) {
      if (message.method in heard) Promise.resolve(heard[message.method](message.params)).catch(failed);
      else if (message.id !== undefined && ["ping", "ui/resource-teardown"].includes(message.method)) send({ id: message.id, result: {} });
      else if (message.id !== undefined) send({ id: message.id, error: { code: -32601, message: "Method not found" } });
      return;
    }
    const asked = waiting.get(message.id);
    waiting.delete(message.id);
    if (asked && message.error) asked.reject(new Error(message.error.message));
    else if (asked) asked.resolve(message.result);
  });
  request("ui/initialize", { protocolVersion: "2026-01-26", appInfo: { name: "sweeplens chart", version: "1" }, appCapabilities: {} })
    .then((answer) => { send({ method: "ui/notifications/initialized", params: {} }); return look(answer.hostContext); })
    .catch(failed);
})();
