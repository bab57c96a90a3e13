// My reservations: what this browser bought, kept in this browser, with the token that cancels it.
import { call } from "./api.js";
import { h } from "./dom.js";
import { money, onLanguage, t } from "./i18n.js";

const KEY = "taquilla.reservations";
const MOST = 50;
let kept = load();
let asking = null; // id whose cancellation awaits a second press
let note = null; // {id, text}

function load() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

function save() {
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch { /* not remembered, still shown */ }
  draw();
}

/** Keep what the gateway said about a reservation; newer facts win, the token and the name stay. */
export function remember(facts) {
  const known = kept.find((one) => one.reservation_id === facts.reservation_id);
  const { reservation_id, status, event_id, event_name, seats, quantity, total, manage_token } = facts;
  const news = Object.fromEntries(
    Object.entries({ reservation_id, status, event_id, event_name, seats, quantity, total, manage_token })
      .filter(([, value]) => value !== undefined && value !== null),
  );
  if (known) Object.assign(known, news);
  else kept = [news, ...kept].slice(0, MOST);
  save();
}

/** Names of the seats that this browser's buyer owns at an event. */
export function mySeats(eventId) {
  const owned = kept.filter((one) => one.status === "confirmed" && one.event_id === eventId);
  return new Set(owned.flatMap((one) => one.seats ?? []));
}

async function refresh(id) {
  const answer = await call("GET", `/api/reservations/${id}`);
  if (answer.ok) remember(answer.body);
  return answer;
}

async function cancel(one) {
  if (asking !== one.reservation_id) {
    asking = one.reservation_id;
    draw();
    document.querySelector("[data-sure]")?.focus();
    return;
  }
  asking = null;
  const path = `/api/reservations/${one.reservation_id}/cancel`;
  const answer = await call("POST", path, undefined, { "x-manage-token": one.manage_token ?? "" });
  note = { id: one.reservation_id, text: answer.body.message ?? answer.body.detail ?? t("no_answer_detail") };
  if (answer.ok) remember(answer.body);
  else draw();
  if (answer.status === 202) settle(one.reservation_id, 20);
}

async function settle(id, left) {
  await new Promise((wake) => setTimeout(wake, 1500));
  const answer = await refresh(id);
  if (answer.ok && answer.body.status === "pending" && left) settle(id, left - 1);
  else if (answer.ok) {
    note = { id, text: answer.body.message };
    draw();
  }
}

function item(one) {
  const id = one.reservation_id;
  const what = [
    one.event_name ?? one.event_id,
    (one.seats ?? []).join(", ") || t("seats_count", { count: one.quantity ?? 1 }),
    one.total ? money(one.total) : null,
  ].filter(Boolean).join(" · ");
  const sure = asking === id;
  return h("li", {},
    h("span", { class: `status ${one.status}` }, t(`status_${one.status}`)), h("span", { class: "what" }, what),
    h("span", { class: "actions" },
      h("a", { href: `/r/${id}` }, t("see_timeline")),
      one.status === "confirmed" && one.manage_token
        ? h("button", { type: "button", class: sure ? "danger" : "quiet", "data-sure": sure ? "1" : null,
            onclick: () => cancel(one) }, t(sure ? "cancel_sure" : "cancel"))
        : null),
    note?.id === id ? h("p", { class: "note", role: "status" }, note.text) : null);
}

function draw() {
  document.dispatchEvent(new Event("mine")); // the seat map shows what is ours
  const list = document.getElementById("reservations");
  list.replaceChildren(...(kept.length ? kept.map(item) : [h("li", { class: "none" }, t("mine_none"))]));
}

export function startMine() {
  onLanguage(draw);
  for (const one of kept.slice(0, 10)) if (one.status !== "refunded" && one.status !== "cancelled") refresh(one.reservation_id);
}
