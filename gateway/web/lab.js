// The lab: scenario switches, flood and race, the mesh and what happens in it, in words.
import { call, h } from "./api.js";
import { language, onLanguage, t } from "./i18n.js";
import { note, startLog } from "./log.js";
import { onLive, state } from "./live.js";

const SECONDS = { "slow-payments": 20 };
const TTL_S = 300;
const node = (id) => document.getElementById(id);
let scenarios = [];
const reports = {}; // scenario name -> function that draws the last result in the current language
let running = null;

async function change(method, path, body) {
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
  const lang = language();
  const control = one.fault ? toggle(one) : launcher(one);
  return h("article", { class: "scenario", "data-scenario": one.name },
    h("h3", {}, one[`title_${lang}`]),
    h("p", {}, h("strong", {}, t("you_will_see")), " ", one[`expected_${lang}`]),
    h("p", { class: "where" }, one.service ? t("where", { service: t(`service_${one.service}`), fault: one.fault }) : t("where_load")),
    control, h("div", { class: "report", role: "status" }, reports[one.name]?.() ?? ""));
}

function toggle(one) {
  const active = activeOf(one);
  const button = h("button", {
    type: "button", role: "switch", class: "switch", "aria-checked": String(Boolean(active)),
    "aria-label": one[`title_${language()}`],
    onclick: () => flip(one),
  }, active ? t("on_left", { left: active.left_s }) : t("off"));
  return button;
}

async function flip(one) {
  const on = !activeOf(one);
  const order = !on ? { enabled: false }
    : SECONDS[one.name] ? { seconds: SECONDS[one.name], ttl_s: TTL_S } : { enabled: true, ttl_s: TTL_S };
  const answer = await change("POST", `/api/lab/faults/${one.service}/${one.fault}`, order);
  if (!answer.ok) return;
  // Shown at once; the stream confirms within half a second.
  const others = (state.faults ?? []).filter((it) => it.service !== one.service || it.fault !== one.fault);
  state.faults = on ? [...others, { service: one.service, fault: one.fault, left_s: answer.body.left_s }] : others;
  drawSwitches();
}

function launcher(one) {
  const isRace = one.name === "race";
  const fields = isRace
    ? [["buyers", 2, 64, 8], ["seats", 1, 10, 1]]
    : [["requests", 1, 200, 50], ["workers", 1, 50, 10]];
  const form = h("form", { class: "inline" },
    ...fields.map(([name, min, max, value]) => h("label", {}, h("span", {}, t(`${one.name}_${name}`)),
      h("input", { name, type: "number", min: String(min), max: String(max), value: String(value), required: "" }))),
    h("button", { type: "submit", class: "main", disabled: running !== null }, t(running === one.name ? "running" : `${one.name}_go`)));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    launch(one, Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, Number(value)])));
  });
  return form;
}

async function launch(one, order) {
  running = one.name;
  buttons();
  note(t(`log_${one.name}`, order));
  const answer = await change("POST", `/api/lab/${one.name}`, order);
  running = null;
  buttons();
  reports[one.name] = answer.ok ? () => report(one.name, answer.body) : undefined;
  const box = document.querySelector(`[data-scenario="${one.name}"] .report`);
  box.replaceChildren(reports[one.name]?.() ?? "");
}

function buttons() {
  for (const name of ["load", "race"]) {
    const button = document.querySelector(`[data-scenario="${name}"] button`);
    if (!button) continue;
    button.disabled = running !== null;
    button.textContent = t(running === name ? "running" : `${name}_go`);
  }
}

function report(name, found) {
  const lines = found.outcomes.map((one) => h("li", {}, h("b", {}, String(one.count)), ` × ${one.status} ${one.code}`));
  const speed = found.p50_ms === null ? null
    : h("p", {}, t("speed", { p50: found.p50_ms, p95: found.p95_ms, elapsed: found.elapsed_s }));
  return h("div", {}, h("p", { class: found.ok ? "verdict good" : "verdict bad" }, t(`${name}_${found.ok ? "ok" : "bad"}`)),
    h("ul", {}, ...lines), speed, found.retries ? h("p", {}, t("retries", { retries: found.retries })) : null);
}

function drawScenarios() {
  node("scenarios").replaceChildren(...scenarios.map(card));
}

function drawSwitches() {
  for (const one of scenarios.filter((it) => it.fault)) {
    const button = document.querySelector(`[data-scenario="${one.name}"] .switch`);
    if (!button) continue;
    const active = activeOf(one);
    button.setAttribute("aria-checked", String(Boolean(active)));
    button.textContent = active ? t("on_left", { left: Math.ceil(active.left_s) }) : t("off");
  }
}

function phase(breaker) {
  const due = breaker.phase === "open" && breaker.retry_after_s === 0;
  return t(due ? "phase_open_due" : `phase_${breaker.phase}`, { wait: breaker.retry_after_s });
}

function drawMesh() {
  node("mesh").replaceChildren(...state.mesh.map((one) =>
    h("tr", {}, h("th", { scope: "row" }, t(`service_${one.service}`)),
      h("td", {}, h("span", { class: `state ${one.state}` }, t(`state_${one.state}`))),
      h("td", {}, one.breakers.length
        ? h("ul", {}, ...one.breakers.map((breaker) => h("li", { class: `breaker ${breaker.phase}` },
            `${breaker.edge}: ${phase(breaker)}`)))
        : "–"))));
}

function drawEventChoice() {
  const select = node("refill-event");
  const events = state.events ?? [];
  if (!events.length || select.length === events.length) return;
  select.replaceChildren(...events.map((event) => h("option", { value: event.event_id }, event.name)));
}

export async function startLab() {
  startLog();
  node("token-row").addEventListener("submit", (event) => event.preventDefault());
  node("stop-all").addEventListener("click", async () => {
    const answer = await change("DELETE", "/api/lab/faults");
    if (!answer.ok) return;
    state.faults = [];
    drawSwitches();
    note(t("log_stopped"));
  });
  node("refill").addEventListener("submit", async (event) => {
    event.preventDefault();
    const order = { event_id: node("refill-event").value, seats: Number(node("refill-seats").value) };
    const answer = await change("POST", "/api/lab/reset", order);
    if (answer.ok) note(t("log_refilled", { event: order.event_id, seats: order.seats }));
  });
  onLive((_, names) => {
    if (names.includes("faults")) drawSwitches();
    if (names.includes("mesh")) drawMesh();
    if (names.includes("events")) drawEventChoice();
  });
  onLanguage(() => {
    drawScenarios();
    drawMesh();
  });
  const answer = await call("GET", "/api/lab/faults");
  scenarios = answer.ok ? answer.body.scenarios : [];
  drawScenarios();
}
