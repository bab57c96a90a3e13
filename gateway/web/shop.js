// Buying: events, seats, the order and its answer in words.
import { call, newKey } from "./api.js";
import { h, node } from "./dom.js";
import { showAnswer } from "./answer.js";
import { money, number, onLanguage, t } from "./i18n.js";
import { onLive, state } from "./live.js";
import { remember } from "./mine.js";
import { drawMap, forgetChoice, seatsChosen, startMap } from "./seats.js";

let known = []; // the last events that inventory told; it may be silent since
let chosen = null; // event_id
let reserving = false; // until the answer is there
let attempt = null; // {what, key}: the key stays while the same order has no final answer

// After these the order is still open, so trying again must use the same key.
const OPEN = new Set([0, 202, 429, 500, 502, 503]);

const current = () => known.find((event) => event.event_id === chosen);

function drawEvents() {
  const box = node("events");
  known = state.events ?? known;
  node("events-note").hidden = state.events !== null && state.events.length > 0;
  node("events-note").textContent = t(state.mesh.length ? "events_unknown" : "loading");
  chosen ??= known[0]?.event_id ?? null;
  drawButton();
  const drawn = [...box.querySelectorAll("input")].map((input) => input.value).join();
  if (drawn !== known.map((event) => event.event_id).join()) box.replaceChildren(...known.map(eventCard));
  for (const event of known) {
    const card = box.querySelector(`label[data-event="${CSS.escape(event.event_id)}"]`);
    card.querySelector(".price").textContent = t("price_each", { price: money(event.price) });
    card.querySelector(".left").textContent = t("seats_left", { left: number(event.available) });
    const meter = card.querySelector("meter");
    meter.max = Math.max(1, event.capacity);
    meter.value = event.available;
  }
}

/** Pressing it before there is anything to buy, or twice, would do nothing: then it cannot be pressed. */
function drawButton() {
  const button = node("reserve");
  button.disabled = reserving || !known.length;
  button.textContent = t(reserving ? "reserving" : "reserve");
}

function eventCard(event) {
  const input = h("input", { type: "radio", name: "event", value: event.event_id, checked: event.event_id === chosen });
  input.addEventListener("change", () => choose(event.event_id));
  return h(
    "label", { class: "event", "data-event": event.event_id }, input,
    h("span", { class: "event-name" }, event.name), h("span", { class: "price" }),
    h("meter", { min: "0", "aria-hidden": "true" }), h("span", { class: "left" }),
  );
}

function choose(eventId) {
  chosen = eventId;
  drawMap(current(), true);
  drawTotal();
}

function drawTotal() {
  const event = current();
  const seats = seatsChosen();
  const quantity = node("quantity");
  quantity.disabled = seats.length > 0;
  if (seats.length) quantity.value = seats.length;
  const count = Number(quantity.value) || 0;
  const total = event && { ...event.price, amount_minor: event.price.amount_minor * count };
  node("total").textContent = total
    ? t(seats.length ? "total_seats" : "total", { total: money(total), seats: seats.join(", "), count })
    : "";
}

/** A user id that the API takes: "Ana López" is ana-lopez. */
function userId(name) {
  const plain = name.normalize("NFD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  return plain.replace(/[^a-z0-9._@-]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 64) || "comprador";
}

function order() {
  const seats = seatsChosen();
  return {
    user_id: userId(node("name").value),
    event_id: chosen,
    quantity: Number(node("quantity").value),
    price: current().price.amount_minor / 100,
    email: node("email").value.trim() || null,
    seats: seats.length ? seats : null,
  };
}

async function submit(event) {
  event.preventDefault();
  if (!node("order").reportValidity() || !current()) return;
  const wanted = order();
  const what = JSON.stringify(wanted);
  if (attempt?.what !== what) attempt = { what, key: newKey() };
  reserving = true;
  drawButton();
  const answer = await call("POST", "/api/reserve", wanted, { "idempotency-key": attempt.key });
  reserving = false;
  drawButton();
  if (!OPEN.has(answer.status) && answer.body.code !== "request_in_progress") attempt = null;
  if (answer.status === 200 || answer.status === 202) {
    remember({ ...answer.body, event_name: current()?.name ?? wanted.event_id });
    forgetChoice();
    node("quantity").value = 1;
  }
  showAnswer(node("answer"), answer);
  drawMap(current(), true);
  drawTotal();
}

export function startShop() {
  node("order").addEventListener("submit", submit);
  node("answer").addEventListener("decided", () => (attempt = null));
  node("quantity").addEventListener("input", drawTotal);
  startMap(drawTotal);
  onLanguage(() => {
    drawEvents();
    drawMap(current(), false);
    drawTotal();
  });
  onLive((_, names) => {
    if (!names.includes("events")) return;
    drawEvents();
    drawMap(current(), false);
    drawTotal();
  });
}
