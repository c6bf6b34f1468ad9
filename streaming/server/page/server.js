// The recogniser, on the server that this page came from: docs/protocol.md, version 1.

import { start } from "./page.js";

const BYTES = 2; // of a sample
const BUSY = 1013;
const UNAUTHORISED = 4003;

const key = document.getElementById("key");
let token = new URLSearchParams(location.hash.slice(1)).get("token") ?? undefined;

// Opens a stream of `rate` Hz. `onEvent` gets each event, those of the keywords and commands too; the promise `done` settles after the final one, or fails.
async function openStream(rate, onEvent, keywords, commands) {
  key.hidden = true;
  const url = new URL("v1/stream", location.href); // beside the page, also below a path of a proxy
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  let problem = null;
  let settle;
  const done = new Promise((resolve, reject) => (settle = { resolve, reject }));
  done.catch(() => {}); // whoever awaits it hears of it

  await new Promise((resolve, reject) => {
    const opening = { version: 1, rate, encoding: "int16", tentative: true, keywords, commands, token };
    socket.onopen = () => socket.send(JSON.stringify(opening));
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.event === "ready") resolve();
      else if (event.event === "error") problem = event.message;
      else if (event.event !== "snapshot") onEvent(event);
    };
    socket.onclose = ({ code, reason }) => {
      if (code === 1000) return settle.resolve();
      const text =
        code === BUSY ? "The server has as much to do as it can. Try again later." : problem || reason;
      key.hidden = code !== UNAUTHORISED;
      const error = new Error(text || "The connection to the server broke off.");
      reject(error);
      settle.reject(error);
    };
  });

  const tell = (data) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(data);
  };
  const control = (message) => tell(JSON.stringify(message));
  return {
    done,
    behind: () => socket.bufferedAmount / BYTES / rate,
    send(samples) {
      const data = new Int16Array(samples.length);
      for (let i = 0; i < samples.length; i++) {
        data[i] = Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768)));
      }
      tell(data);
    },
    gap: (samples) => control({ type: "gap", samples }),
    setKeywords: (keywords) => control({ type: "keywords", keywords }),
    setCommands: (commands) => control({ type: "commands", commands }),
    finish: () => control({ type: "finish" }),
  };
}

// All phones of a file: { seconds, phones }, what was found of keywords and commands in { spotted, commands }, and where
// something should be known of it { remarks }.
async function transcribe(file, _decoded, _onProgress, keywords, commands) {
  key.hidden = true;
  const query = new URLSearchParams([
    ["file", file.name],
    ...keywords.map((phrase) => ["keyword", phrase]),
    ...commands.map((phrase) => ["command", phrase]),
  ]);
  let response;
  try {
    response = await fetch(`v1/transcribe?${query}`, {
      method: "POST",
      body: file,
      headers: token ? { Authorization: `Bearer ${token}` } : {},
    });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const answer = await response.json();
  key.hidden = response.status !== 401;
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

key.addEventListener("submit", (event) => {
  event.preventDefault();
  token = document.getElementById("token").value.trim() || undefined;
  key.hidden = true;
  document.getElementById("problem").textContent = "";
  document.getElementById("listen").focus();
});

start({ openStream, transcribe, waiting: "Waiting for the server …" });
