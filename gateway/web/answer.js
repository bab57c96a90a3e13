// An answer in words: what happened, and what it means for the money, the seat and the next step.
import { call } from "./api.js";
import { h } from "./dom.js";
import { has, language, money, t } from "./i18n.js";
import { remember } from "./mine.js";

const LOOK_EVERY_MS = 1500;
const LOOK_TIMES = 80;
let watching = 0;

/** Put `answer` (see api.js) into `box`; an open one is asked for again until it is decided. */
export function showAnswer(box, answer) {
  const turn = ++watching;
  draw(box, answer);
  box.hidden = false;
  box.focus({ preventScroll: false });
  if (answer.status === 202) follow(box, answer.body, turn, LOOK_TIMES);
}

async function follow(box, first, turn, left) {
  await new Promise((wake) => setTimeout(wake, LOOK_EVERY_MS));
  if (turn !== watching || !left) return;
  const now = await call("GET", `/api/reservations/${first.reservation_id}`);
  if (!now.ok || now.body.status === "pending") {
    follow(box, first, turn, left - 1);
    return;
  }
  remember(now.body);
  box.dispatchEvent(new Event("decided"));
  if (turn !== watching) return;
  const { status, reason } = now.body;
  const refused = { status: null, body: { ...now.body, title: now.body.message, detail: "", code: reason ?? "cancelled" } };
  draw(box, status === "cancelled" ? refused : now);
}

function draw(box, answer) {
  const { body } = answer;
  const good = answer.ok ? body.status : null;
  const code = good ?? body.code ?? "internal_error";
  const [moneyText, seatText, nextText] = t(`answer_${has(`answer_${code}`) ? code : "other"}`, {
    seats: (body.seats ?? []).join(", "),
    wait: answer.retryAfter ?? 1,
    price: body.price ?? "",
  });
  const kind = good === "confirmed" ? "good" : good ? "open" : "bad";
  box.className = `answer ${kind}`;
  box.lang = language(); // the words below stay in the language they were asked in
  const lines = [
    h("h2", {}, good ? (body.message ?? t(`status_${good}`)) : (body.title ?? t("no_answer_title"))),
    h("p", {}, good === "confirmed" ? confirmedLine(body) : good ? "" : (body.detail ?? t("no_answer_detail"))),
    h("dl", {},
      h("dt", {}, t("your_money")), h("dd", {}, moneyText),
      h("dt", {}, t("your_seat")), h("dd", {}, seatText),
      h("dt", {}, t("what_now")), h("dd", {}, nextText)),
    corrections(body),
    mailLine(good, body),
    body.reservation_id ? h("p", {}, h("a", { href: `/r/${body.reservation_id}` }, t("see_timeline"))) : null,
    h("p", { class: "code" }, [answer.status || "–", code, body.request_id].filter(Boolean).join(" · ")),
  ];
  box.replaceChildren(...lines.filter(Boolean));
}

const confirmedLine = (body) =>
  t("confirmed_line", { seats: body.seats.join(", "), total: body.total ? money(body.total) : "" });

function corrections(body) {
  if (!Array.isArray(body.errors)) return null;
  return h("ul", {}, ...body.errors.map((one) => h("li", {}, `${one.field}: ${one.reason}`)));
}

function mailLine(good, body) {
  if (good !== "confirmed" || !body.notification) return null;
  return h("p", {}, body.notification.sent ? t("mail_sent") : (body.notification.detail ?? t("mail_later")));
}
