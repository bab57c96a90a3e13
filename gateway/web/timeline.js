// One reservation: what its saga did and when, to scale, and what each step meant for seat and money.
import { call } from "./api.js";
import { h, node } from "./dom.js";
import { gantt, styleOf } from "./gantt.js";
import { clock, duration, has, money, onLanguage, startLanguage, t } from "./i18n.js";
import { actsOf } from "./saga.js";

const id = location.pathname.split("/").pop();
const LOOK_EVERY_MS = 1000;
const LOOK_TIMES = 300;
const SHAPE = { confirmed: "✓", pending: "…", cancelled: "✗", refunded: "↩" };
let answer = null;

const word = (kind, value) => (has(`${kind}_${value}`) ? t(`${kind}_${value}`) : value);

function draw() {
  if (!answer) {
    node("title").textContent = t("loading");
    return;
  }
  const { body } = answer;
  document.title = `Taquilla · ${id}`;
  for (const part of document.querySelectorAll("[data-when-known]")) part.hidden = !answer.ok;
  if (!answer.ok) {
    node("title").textContent = body.title ?? t("no_answer_title");
    node("facts").replaceChildren(h("p", {}, body.detail ?? t("no_answer_detail")));
    return;
  }
  node("title").textContent = body.message ?? t(`status_${body.status}`);
  node("facts").replaceChildren(...facts(body));
  const acts = actsOf(body.timeline ?? []);
  node("acts").replaceChildren(...acts.map((act, index) => drawAct(act, index, acts.length)));
  node("lesson").textContent = lesson(body);
}

function facts(body) {
  const what = [body.event_id, (body.seats ?? []).join(", "), body.total && money(body.total)].filter(Boolean).join(" · ");
  return [
    h("p", {}, h("span", { class: `status ${body.status}` }, `${SHAPE[body.status]} ${t(`status_${body.status}`)}`), " ", what),
    body.reason ? h("p", {}, t("because", { reason: word("reason", body.reason) })) : null,
    h("p", { class: "code" }, id, " · ", h("a", { href: `/api/reservations/${id}` }, t("as_json"))),
  ].filter(Boolean);
}

/** Why nothing was lost, in this case. */
function lesson(body) {
  const key = `lesson_${body.reason ?? body.status}`;
  return has(key) ? t(key) : t(`lesson_${body.status}`);
}

function drawAct(act, index, all) {
  const told = new Set();
  const title = all > 1 ? h("h3", {}, t(`act_${act.kind}`, { number: index + 1, attempt: act.attempt, at: clock(new Date(act.spans[0].moment.at)) })) : null;
  return h("div", { class: "act" }, title, gantt(act), h("ol", { class: "timeline" }, ...act.spans.map((span) => step(span, act, told))));
}

function step(span, act, told) {
  const { moment, kind, isTry } = span;
  const keys = isTry ? [`explain_try_${moment.outcome}_${moment.detail}`, `explain_try_${moment.outcome}`]
    : [`explain_${moment.step}_${moment.outcome}`, `explain_${moment.step}_${kind}`, `explain_${moment.step}`];
  const key = keys.find(has);
  const explained = key && !told.has(key); // said once per act is enough
  told.add(key);
  const outcome = word("outcome", moment.outcome);
  const title = isTry ? [h("b", { class: "step" }, t(`kind_${kind}`)), ` · ${span.lanes.map((lane) => t(`service_${lane}`)).join(", ")}`]
    : [h("b", { class: "step" }, word("step", moment.step)), moment.attempt > 1 ? ` (${t("attempt", { number: moment.attempt })})` : ""];
  const said = isTry || kind === "step" ? outcome : `${t(`kind_${kind}`)}: ${outcome}`;
  return h("li", { class: styleOf(span), "data-step": moment.step, "data-outcome": moment.outcome },
    h("span", { class: "number", "aria-hidden": "true" }, isTry ? "" : String(span.number)), when(span, act),
    h("div", { class: "told" },
      h("p", {}, ...title, " → ", h("span", { class: "outcome" }, said)),
      explained ? h("p", {}, t(key)) : null,
      moment.detail ? h("p", { class: "code" }, word("reason", moment.detail)) : null),
    h("dl", { class: "now" }, ...["seat", "money"].filter((what) => span[what]).map((what) => h("div", {},
      h("dt", {}, t(`your_${what}`)), h("dd", { class: `${what}-${span[what]}` }, t(`${what}_now_${span[what]}`))))));
}

function when(span, act) {
  const isFirst = span === act.spans[0];
  const lasted = span.end - span.start;
  return h("div", { class: "when" },
    h("time", { datetime: span.moment.at }, isFirst ? clock(new Date(span.moment.at)) : `+${duration(span.end - act.start)}`),
    lasted > 0 ? h("span", {}, t("lasted", { time: duration(lasted) })) : null);
}

async function look(left) {
  answer = await call("GET", `/api/reservations/${encodeURIComponent(id)}`);
  draw();
  const open = answer.body.status === "pending" || answer.status === 503 || isMoving(answer.body.timeline ?? []);
  if (left && open) setTimeout(() => look(left - 1), LOOK_EVERY_MS);
}

/** The answer may be final while its story goes on: something is being undone, or still has to be sent. */
const isMoving = (timeline) => timeline.at(-1)?.outcome === "CANCELLING" || timeline.some((moment) => moment.outcome === "PENDING");

startLanguage();
onLanguage(draw);
look(LOOK_TIMES);
