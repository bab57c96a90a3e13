// Race and flood: many buyers at once, from the page, with bounded numbers; every answer is one mark in a picture.
import { h, node, s, say } from "./dom.js";
import { duration, number, percent, t } from "./i18n.js";
import { note } from "./log.js";

const FIELDS = {
  race: [["buyers", 2, 64, 8], ["seats", 1, 10, 1]],
  load: [["requests", 1, 200, 50], ["workers", 1, 50, 10]],
};
const SIZE = { width: 420, left: 8, right: 10, top: 6, bottom: 22 };
// A shape of its own for each kind of answer; colour only repeats it.
const MARKS = {
  confirmed: { kind: "good", mark: "●" }, pending: { kind: "open", mark: "◆" }, sold_out: { kind: "soft", mark: "×" },
  gateway_saturated: { kind: "open", mark: "▲" },
};
const OTHER = { kind: "bad", mark: "■" };

const reports = {}; // scenario name -> the last report
let running = null;

/** The elements of a load's card. `change` makes the call. */
export function launcher(name, change) {
  const form = h("form", { class: "inline" },
    ...FIELDS[name].map(([field, min, max, value]) => h("label", {}, h("span", {}, t(`${name}_${field}`)),
      h("input", { name: field, type: "number", min: String(min), max: String(max), value: String(value), required: "" }))),
    h("button", { type: "submit", class: "main" }), h("span", { class: "state-word", role: "status" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    launch(name, Object.fromEntries([...new FormData(form)].map(([field, value]) => [field, Number(value)])), change);
  });
  return [form, h("div", { class: "report", id: `report-${name}` })];
}

/** Draw buttons and results again, as after a change of language. */
export function redrawCrowd() {
  for (const name of Object.keys(FIELDS)) drawOne(name);
}

async function launch(name, order, change) {
  if (running) return;
  running = name;
  redrawCrowd();
  note(t(`log_${name}`, order));
  const answer = await change("POST", `/api/lab/${name}`, order);
  running = null;
  if (answer.ok) {
    reports[name] = answer.body;
    note(t(`log_${name}_done`, { won: countOf(answer.body, "confirmed"), of: sum(answer.body), verdict: verdict(name) }), answer.body.ok ? "good" : "bad");
  }
  redrawCrowd();
}

const countOf = (report, code) => report.outcomes.filter((one) => one.code === code).reduce((all, one) => all + one.count, 0);
const sum = (report) => report.outcomes.reduce((all, one) => all + one.count, 0);
const verdict = (name) => t(`${name}_${reports[name].ok ? "ok" : "bad"}`);

function drawOne(name) {
  const card = document.querySelector(`[data-scenario="${name}"]`);
  if (!card) return;
  const button = card.querySelector("form button");
  button.setAttribute("aria-disabled", String(running !== null));
  say(button, t(`${name}_go`));
  card.classList.toggle("on", running === name);
  const report = reports[name];
  const word = running === name ? "running" : report ? (report.ok ? "done_ok" : "done_bad") : "not_yet";
  say(card.querySelector(".state-word"), t(word));
  node(`report-${name}`).replaceChildren(...(report ? drawReport(name, report) : []));
}

function drawReport(name, report) {
  const lines = report.outcomes.map((one) => {
    const { kind, mark } = MARKS[one.code] ?? OTHER;
    return h("li", {}, h("span", { class: `mark ${kind}`, "aria-hidden": "true" }, mark), ` ${number(one.count)} × ${one.status} ${one.code}`);
  });
  const speed = report.p50_ms === null ? null
    : h("p", {}, t("speed", { p50: number(report.p50_ms), p95: number(report.p95_ms), elapsed: number(report.elapsed_s) }));
  return [h("p", { class: report.ok ? "verdict good" : "verdict bad" }, verdict(name)), h("ul", { class: "outcomes" }, ...lines), picture(report),
    speed, report.retries ? h("p", {}, t("retries", { retries: number(report.retries) })) : null].filter(Boolean);
}

/** A line per buyer, from asking to hearing; the mark at its end says what was heard. */
function picture(report) {
  const series = report.series ?? [];
  if (!series.length) return null;
  const { width, left, right, top, bottom } = SIZE;
  const step = Math.max(1.2, Math.min(14, 180 / series.length));
  const foot = top + step * series.length;
  const span = Math.max(1, ...series.map((one) => one.at_ms + one.took_ms));
  const x = (ms) => left + (ms / span) * (width - left - right);
  const label = (at, text, anchor) => s("text", { class: "axis-text", x: at, y: foot + 16, "text-anchor": anchor }, text);
  const good = percent(countOf(report, "confirmed") / Math.max(1, sum(report)));
  return s("svg", { class: "crowd", viewBox: `0 0 ${width} ${foot + bottom}`, role: "img",
    "aria-label": t("crowd_picture", { count: series.length, span: duration(span), good }) },
  ...series.map((one, index) => buyer(one, top + step * (index + 0.5), x)),
  s("path", { class: "axis", d: `M${left} ${foot}H${width - right}` }),
  label(left, "0", "start"), label(width / 2, t("crowd_axis"), "middle"), label(width - right, duration(span), "end"));
}

function buyer(one, y, x) {
  const { kind, mark } = MARKS[one.outcome] ?? OTHER;
  const [from, to] = [x(one.at_ms), x(one.at_ms + one.took_ms)];
  return s("g", { class: kind }, s("path", { d: `M${from.toFixed(1)} ${y.toFixed(1)}H${to.toFixed(1)}` }),
    s("text", { class: "mark", x: to.toFixed(1), y: (y + 3.5).toFixed(1), "text-anchor": "middle" }, mark));
}
