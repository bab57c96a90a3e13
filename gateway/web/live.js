// One stream for the whole page: a snapshot, then what changed. Closed while nobody looks, because browsers allow only
// six connections per host.
import { onLanguage, t } from "./i18n.js";

export const state = { events: null, mesh: [], faults: null, edges: null };
const listeners = [];
let source = null;
let word = "stream_connecting";
let again = null;

/** Call `listener(state, changed)` after each event; `changed` has the names of the parts that came. */
export function onLive(listener) {
  listeners.push(listener);
}

function say(key) {
  word = key;
  const node = document.getElementById("stream");
  node.textContent = t(word);
  node.dataset.on = String(word === "stream_on");
}

function take(event) {
  const parts = JSON.parse(event.data);
  if (word !== "stream_on") say("stream_on");
  const names = Object.keys(parts);
  if (!names.length) return;
  Object.assign(state, parts);
  for (const listener of listeners) listener(state, names);
}

function open() {
  clearTimeout(again);
  if (source || document.hidden) return;
  source = new EventSource("/api/live");
  source.addEventListener("snapshot", take);
  source.addEventListener("delta", take);
  source.addEventListener("error", () => {
    say("stream_off");
    if (source.readyState === EventSource.CLOSED) {
      close();
      again = setTimeout(open, 3000);
    }
  });
}

function close() {
  source?.close();
  source = null;
}

export function startLive() {
  onLanguage(() => say(word));
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  open();
}
