// The lab: the six scenarios, each with what to expect and why the system bears it, and what the mesh does meanwhile.
import { call } from "./api.js";
import { startAudit } from "./audit.js";
import { launcher, redrawCrowd } from "./crowd.js";
import { h, node, say } from "./dom.js";
import { startEdges } from "./edges.js";
import { drawGraph, drawLegend, startGraph } from "./graph.js";
import { setFlow } from "./flow.js";
import { language, number, onLanguage, t } from "./i18n.js";
import { note, startLog } from "./log.js";
import { onLive, state } from "./live.js";
import { tryOut, tries } from "./probe.js";

const SECONDS = { "slow-payments": 20 };
const TTL_S = 300;
const TOKEN = "lab-token"; // kept for this tab only, and never part of an address
let scenarios = [];
const opened = new Set(); // names of the scenarios whose explanation is open

/** Ask the lab for something, with its password if one was given; a refusal is said above the scenarios. */
export async function ask(method, path, body) {
  const token = node("token").value;
  const answer = await call(method, path, body, token ? { authorization: `Bearer ${token}` } : {});
  const box = node("lab-note");
  box.hidden = answer.ok;
  if (!answer.ok) {
    box.textContent = answer.body.detail ?? t("no_answer_detail");
    if (answer.status === 401) {
      node("token-row").hidden = false;
      node("token").focus();
    }
  }
  return answer;
}

const activeOf = (one) => (state.faults ?? []).find((it) => it.service === one.service && it.fault === one.fault);

function card(one) {
  const texts = t(`scenario_${one.name}`);
  const why = h("details", { open: opened.has(one.name) }, h("summary", {}, t("explain")),
    h("dl", {}, ...["hypothesis", "watch", "why"].flatMap((what, i) => [h("dt", {}, t(what)), h("dd", {}, texts[i])])));
  why.addEventListener("toggle", () => (why.open ? opened.add(one.name) : opened.delete(one.name)));
  return h("article", { class: "scenario", "data-scenario": one.name, "aria-labelledby": `title-${one.name}` },
    h("h3", { id: `title-${one.name}` }, one[`title_${language()}`]),
    h("p", {}, h("strong", {}, t("you_will_see")), " ", one[`expected_${language()}`]),
    ...(one.fault ? [toggle(one)] : launcher(one.name, ask)), why);
}

function toggle(one) {
  return h("div", { class: "fault-row" },
    h("button", { type: "button", role: "switch", class: "switch", "aria-labelledby": `title-${one.name}`, onclick: () => flip(one) },
      h("span", { class: "knob", "aria-hidden": "true" }), h("span", { class: "state-word" })),
    h("button", { type: "button", class: "quiet", onclick: () => tryOut(one.name) }, t("try_out")),
    tries(one.name));
}

async function flip(one) {
  const on = !activeOf(one);
  const order = !on ? { enabled: false }
    : SECONDS[one.name] ? { seconds: SECONDS[one.name], ttl_s: TTL_S } : { enabled: true, ttl_s: TTL_S };
  const answer = await ask("POST", `/api/lab/faults/${one.service}/${one.fault}`, order);
  if (!answer.ok) return;
  // Shown at once; the stream confirms within half a second.
  const others = (state.faults ?? []).filter((it) => it.service !== one.service || it.fault !== one.fault);
  state.faults = on ? [...others, { service: one.service, fault: one.fault, left_s: answer.body.left_s }] : others;
  if (on) document.querySelector(`[data-scenario="${one.name}"] details`).open = true;
  drawSwitches();
  drawGraph(state);
}

function drawScenarios() {
  node("scenarios").replaceChildren(...scenarios.map(card));
  drawSwitches();
  redrawCrowd();
}

function drawSwitches() {
  for (const one of scenarios.filter((it) => it.fault)) {
    const found = document.querySelector(`[data-scenario="${one.name}"]`);
    if (!found) continue;
    const active = activeOf(one);
    found.classList.toggle("on", Boolean(active));
    found.querySelector(".switch").setAttribute("aria-checked", String(Boolean(active)));
    say(found.querySelector(".state-word"), active ? t("on_left", { left: number(Math.ceil(active.left_s)) }) : t("off"));
  }
}

function drawEventChoice() {
  const select = node("refill-event");
  const events = state.events ?? [];
  if (!events.length || select.length === events.length) return;
  select.replaceChildren(...events.map((event) => h("option", { value: event.event_id }, event.name)));
}

async function stopAll() {
  const answer = await ask("DELETE", "/api/lab/faults");
  if (!answer.ok) return;
  state.faults = [];
  drawSwitches();
  drawGraph(state);
  note(t("log_stopped"));
}

async function refill(event) {
  event.preventDefault();
  const order = { event_id: node("refill-event").value, seats: Number(node("refill-seats").value) };
  const answer = await ask("POST", "/api/lab/reset", order);
  if (answer.ok) note(t("log_refilled", { event: order.event_id, seats: order.seats }));
}

export async function startLab() {
  startGraph();
  startEdges();
  startLog();
  startAudit(ask);
  node("token").value = sessionStorage.getItem(TOKEN) ?? "";
  node("token-row").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, node("token").value);
    loadScenarios();
  });
  node("stop-all").addEventListener("click", stopAll);
  node("refill").addEventListener("submit", refill);
  onLive((_, names) => {
    if (names.includes("faults")) drawSwitches();
    if (names.includes("edges")) setFlow(state.edges ?? []);
    if (names.includes("events")) drawEventChoice();
    drawGraph(state);
  });
  setFlow(state.edges ?? []); // the stream may have begun before this module was loaded
  drawEventChoice();
  onLanguage(() => {
    drawScenarios();
    drawGraph(state);
    drawLegend();
  });
  await loadScenarios();
}

async function loadScenarios() {
  const answer = await ask("GET", "/api/lab/faults");
  scenarios = answer.ok ? answer.body.scenarios : [];
  drawScenarios();
}
