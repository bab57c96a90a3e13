// One purchase as a test, from a scenario's card: what the buyer hears while that fault is on, and how soon.
import { call, newKey } from "./api.js";
import { h, node } from "./dom.js";
import { duration, has, number, onLanguage, t } from "./i18n.js";

const EVENT = "festival-01"; // the large hall: tests must not empty the small ones
const KEPT = 4;
const told = {}; // scenario -> [{answer, took}], newest first
const waiting = new Set();

/** Buy one seat and show the answer in the card of `scenario`. */
export async function tryOut(scenario) {
  if (waiting.has(scenario)) return;
  waiting.add(scenario);
  draw(scenario);
  const began = performance.now();
  const order = { user_id: "prueba", event_id: EVENT, quantity: 1 };
  const answer = await call("POST", "/api/reserve", order, { "idempotency-key": newKey() });
  waiting.delete(scenario);
  told[scenario] = [{ answer, took: performance.now() - began }, ...(told[scenario] ?? [])].slice(0, KEPT);
  draw(scenario);
}

/** Where the answers of `scenario` are shown. */
export function tries(scenario) {
  const list = h("ol", { class: "tries", id: `tries-${scenario}`, "aria-label": t("tries") });
  fill(list, scenario);
  return h("div", { class: "heard", role: "status" }, list);
}

function draw(scenario) {
  const list = node(`tries-${scenario}`);
  if (list) fill(list, scenario);
}

function fill(list, scenario) {
  const lines = (told[scenario] ?? []).map(({ answer, took }) => {
    const { body, status } = answer;
    const code = answer.ok ? body.status : (body.code ?? "internal_error");
    const mail = body.notification && !body.notification.sent ? ` · ${t("mail_pending")}` : "";
    return h("li", { class: answer.ok ? "good" : "bad" }, h("b", {}, `${status || "–"} ${code}`), ` · ${duration(took)}${mail} `,
      h("span", { class: "means" }, t(`answer_${has(`answer_${code}`) ? code : "other"}`, { wait: number(answer.retryAfter ?? 1), seats: "", price: "" })[0]), " ",
      body.reservation_id ? h("a", { href: `/r/${body.reservation_id}` }, t("see_timeline")) : null);
  });
  list.replaceChildren(...(waiting.has(scenario) ? [h("li", { class: "wait" }, t("reserving"))] : []), ...lines);
}

onLanguage(() => Object.keys(told).forEach(draw));
