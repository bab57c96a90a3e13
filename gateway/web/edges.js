// A row per call between two services: breaker, load, success, speed, and the last two minutes.
import { h, node, s, say } from "./dom.js";
import { number, onLanguage, percent, t } from "./i18n.js";
import { onLive, state } from "./live.js";

const SECONDS = 120;
const SIZE = { width: 120, height: 26 };
const PHASE = { closed: "●", open: "✗", half_open: "◐" };
const rows = new Map(); // "source target" -> {cells, past}

const nameOf = (edge) => `${edge.source} ${edge.target}`;

export function edgeWords(edge) {
  return { source: t(`service_${edge.source}`), target: t(`service_${edge.target}`) };
}

/** What the breaker says, in a word. */
function phaseWord(edge) {
  if (!edge.phase) return t("phase_none");
  const due = edge.phase === "open" && edge.retry_after_s === 0;
  return t(due ? "phase_due" : edge.phase === "open" ? "phase_open_wait" : `phase_${edge.phase}`,
    { wait: number(edge.retry_after_s ?? 0) });
}

function row(edge) {
  const names = ["phase", "in_flight", "rate", "effective", "actual", "speed"];
  const cells = Object.fromEntries(names.map((name) => [name, h("td", { class: name })]));
  const line = s("path", { class: "rate" });
  const fails = s("path", { class: "fails" });
  const spark = s("svg", { class: "spark", viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img" }, line, fails);
  const head = h("th", { scope: "row" });
  const element = h("tr", {}, head, ...names.map((name) => cells[name]), h("td", {}, spark));
  rows.set(nameOf(edge), { element, head, cells, spark, line, fails, past: [] });
}

function fill(edge) {
  const { head, cells, element } = rows.get(nameOf(edge));
  say(head, t("edge_name", edgeWords(edge)));
  element.className = edge.phase ?? "";
  say(cells.phase, edge.phase ? `${PHASE[edge.phase]} ${phaseWord(edge)}` : phaseWord(edge));
  say(cells.in_flight, String(edge.in_flight));
  say(cells.rate, number(edge.per_s) + (edge.attempts_per_s > edge.per_s ? ` (${number(edge.attempts_per_s)})` : ""));
  say(cells.effective, share(edge.effective));
  say(cells.actual, share(edge.actual));
  cells.actual.classList.toggle("hidden-by-retries", edge.actual !== null && edge.effective - edge.actual > 0.005);
  for (const name of ["effective", "actual"]) cells[name].classList.toggle("failing", edge[name] !== null && edge[name] < 0.9);
  say(cells.speed, edge.p50_ms === null ? "–" : `${number(edge.p50_ms)} / ${number(edge.p95_ms)}`);
}

const share = (value) => (value === null ? "–" : percent(value));

function draw() {
  const edges = state.edges ?? [];
  for (const edge of edges) {
    if (!rows.has(nameOf(edge))) row(edge);
    fill(edge);
  }
  const wanted = edges.map((edge) => rows.get(nameOf(edge)).element);
  const body = node("edges");
  if (wanted.length === body.children.length && wanted.every((one, i) => one === body.children[i])) return;
  if (!body.children.length) performance.mark("first-row"); // how soon the page lives is measured, see its tests
  body.replaceChildren(...wanted);
}

/** Once a second, whether or not something changed: a quiet second is a value too. */
function sample() {
  for (const edge of state.edges ?? []) {
    const found = rows.get(nameOf(edge));
    if (!found) continue;
    found.past.push({ rate: edge.per_s, bad: edge.per_s > 0 && Math.min(edge.effective ?? 1, edge.actual ?? 1) < 1 });
    if (found.past.length > SECONDS) found.past.shift();
    drawPast(found);
  }
}

function drawPast({ past, line, fails, spark }) {
  const most = Math.max(0.1, ...past.map((one) => one.rate));
  const { width, height } = SIZE;
  const x = (index) => (((SECONDS - past.length + index) / (SECONDS - 1)) * width).toFixed(1);
  const y = (rate) => (height - 5 - (rate / most) * (height - 8)).toFixed(1);
  line.setAttribute("d", past.map((one, index) => `${index ? "L" : "M"}${x(index)} ${y(one.rate)}`).join(""));
  fails.setAttribute("d", past.map((one, index) => (one.bad ? `M${x(index)} ${height - 4}v4` : "")).join(""));
  const bad = past.filter((one) => one.bad).length;
  const quiet = past.every((one) => one.rate === 0);
  spark.setAttribute("aria-label", t(quiet ? "spark_quiet" : "spark_label", { most: number(most), bad }));
}

export function startEdges() {
  onLive((_, names) => {
    if (names.includes("edges")) draw();
  });
  onLanguage(draw);
  setInterval(() => {
    if (!document.hidden) sample();
  }, 1000);
}
