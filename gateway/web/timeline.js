// One reservation: what its saga did and when, to scale.
import { call, h } from "./api.js";
import { clock, has, money, onLanguage, startLanguage, t } from "./i18n.js";

const id = location.pathname.split("/").pop();
const LOOK_EVERY_MS = 1000;
const LOOK_TIMES = 300;
let answer = null;

function draw() {
  const title = document.getElementById("title");
  const facts = document.getElementById("facts");
  const list = document.getElementById("timeline");
  if (!answer) {
    title.textContent = t("loading");
    return;
  }
  const { body } = answer;
  document.title = `Taquilla · ${id}`;
  if (!answer.ok) {
    title.textContent = body.title ?? t("no_answer_title");
    facts.replaceChildren(h("p", {}, body.detail ?? t("no_answer_detail")));
    list.replaceChildren();
    return;
  }
  title.textContent = body.message ?? t(`status_${body.status}`);
  const reason = body.reason && h("p", {}, t("because", { reason: word("reason", body.reason) }));
  facts.replaceChildren(
    h("p", {}, h("span", { class: `status ${body.status}` }, t(`status_${body.status}`)), " ",
      [body.event_id, (body.seats ?? []).join(", "), body.total && money(body.total)].filter(Boolean).join(" · ")),
    reason ?? "",
    h("p", { class: "code" }, id),
  );
  list.replaceChildren(...rows(body.timeline ?? []));
}

const word = (kind, value) => (has(`${kind}_${value}`) ? t(`${kind}_${value}`) : value);

function rows(entries) {
  const times = entries.map((entry) => new Date(entry.at).getTime());
  const start = times[0];
  const whole = Math.max(1, times.at(-1) - start);
  return entries.map((entry, index) => {
    const before = times[Math.max(0, index - 1)];
    const bar = h("span", { class: "bar", "aria-hidden": "true" });
    bar.style.marginInlineStart = `${((before - start) / whole) * 100}%`;
    bar.style.inlineSize = `max(3px, ${((times[index] - before) / whole) * 100}%)`;
    return h("li", {},
      h("span", { class: "when" }, index ? `+${span(times[index] - start)}` : clock(new Date(entry.at))),
      h("span", { class: "step" }, word("step", entry.step),
        entry.attempt > 1 ? ` (${t("attempt", { number: entry.attempt })})` : ""),
      h("span", { class: "outcome" }, word("outcome", entry.outcome),
        entry.detail ? ` · ${word("reason", entry.detail)}` : ""),
      h("span", { class: "track" }, bar));
  });
}

const span = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);

async function look(left) {
  answer = await call("GET", `/api/reservations/${encodeURIComponent(id)}`);
  draw();
  if (left && (answer.body.status === "pending" || answer.status === 503)) setTimeout(() => look(left - 1), LOOK_EVERY_MS);
}

startLanguage();
onLanguage(draw);
look(LOOK_TIMES);
