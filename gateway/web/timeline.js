// One reservation: what its saga did and when, to scale, and what each step meant for seat and money.
import { call } from "./api.js";
import { h, node } from "./dom.js";
import { gantt } from "./gantt.js";
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
  const title = all > 1 ? h("h3", {}, t(`act_${act.kind}`, { number: index + 1, attempt: act.attempt, at: clock(new Date(act.spans[0].moment.at)) })) : null;
  return h("div", { class: "act" }, title, gantt(act), h("ol", { class: "timeline" }, ...act.spans.map((span) => step(span, act))));
}

function step(span, act) {
  const { moment, kind } = span;
  const explained = [`explain_${moment.step}_${moment.outcome}`, `explain_${moment.step}_${kind}`, `explain_${moment.step}`].find(has);
  const detail = moment.detail && moment.detail !== moment.outcome ? word("reason", moment.detail) : null;
  const outcome = word("outcome", moment.outcome);
  const lasted = span.end - span.start;
  return h("li", { class: kind, "data-step": moment.step, "data-outcome": moment.outcome },
    h("span", { class: "number", "aria-hidden": "true" }, String(span.number)),
    h("div", { class: "when" }, h("time", { datetime: moment.at }, span === act.spans[0] ? clock(new Date(moment.at)) : `+${duration(span.end - act.start)}`),
      lasted > 0 ? h("span", {}, t("lasted", { time: duration(lasted) })) : null),
    h("div", { class: "told" },
      h("p", {}, h("b", { class: "step" }, word("step", moment.step)), moment.attempt > 1 ? ` (${t("attempt", { number: moment.attempt })})` : "", " → ",
        h("span", { class: "outcome" }, kind === "step" ? outcome : `${t(`kind_${kind}`)}: ${outcome}`)),
      explained ? h("p", {}, t(explained)) : null,
      detail ? h("p", { class: "code" }, detail) : null),
    h("dl", { class: "now" }, ...["seat", "money"].filter((what) => span[what]).map((what) => h("div", {},
      h("dt", {}, t(`your_${what}`)), h("dd", { class: `${what}-${span[what]}` }, t(`${what}_now_${span[what]}`))))));
}

async function look(left) {
  answer = await call("GET", `/api/reservations/${encodeURIComponent(id)}`);
  draw();
  const open = answer.body.status === "pending" || answer.status === 503 || moving(answer.body.timeline);
  if (left && open) setTimeout(() => look(left - 1), LOOK_EVERY_MS);
}

/** A refused reservation whose undoing is still under way: the answer is final, its story is not. */
const moving = (timeline) => timeline?.at(-1)?.outcome === "CANCELLING";

startLanguage();
onLanguage(draw);
look(LOOK_TIMES);
