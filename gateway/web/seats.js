// The seat map: a grid with one tab stop and arrow keys; a state is a word, a shape and a colour.
import { call } from "./api.js";
import { h, node, say } from "./dom.js";
import { t } from "./i18n.js";
import { mySeats } from "./mine.js";

const LARGEST = 400; // a bigger hall is sold by "best available" only
const MOST = 10;
const map = node("map");
const chosen = new Set();
let shown = null; // {event_id, counts}: what the drawn map belongs to
let seats = [];
let asking = null;
let ticking = null;
let changed = () => {};

export const seatsChosen = () => [...chosen];

/** Nothing is chosen any more, as after a purchase; the map need not answer for that. */
export function forgetChoice() {
  chosen.clear();
  relabel();
}

export function startMap(onChange) {
  changed = onChange;
  map.addEventListener("keydown", move);
  document.addEventListener("mine", relabel);
}

/** Draw the seats of `event`; asks for them only when its counters say that they changed, or when forced. */
export async function drawMap(event, force) {
  const box = node("seating");
  box.hidden = !event || event.capacity > LARGEST;
  if (!event || event.event_id !== shown?.event_id) {
    chosen.clear();
    seats = []; // nobody may choose a seat of another event while this one's map is on its way
    map.replaceChildren();
  }
  if (box.hidden) {
    shown = null;
    return;
  }
  const counts = `${event.available} ${event.held} ${event.sold}`;
  if (!force && shown?.event_id === event.event_id && shown.counts === counts) {
    relabel();
    return;
  }
  shown = { event_id: event.event_id, counts };
  const mine = (asking = call("GET", `/api/events/${encodeURIComponent(event.event_id)}/seats`));
  const answer = await mine;
  if (mine !== asking || !answer.ok) return; // a newer question is out, or inventory is silent: keep what is shown
  seats = answer.body.seats;
  for (const seat of seats) if (seat.state !== "free") chosen.delete(seat.seat);
  draw();
  changed();
}

function draw() {
  const focused = document.activeElement?.dataset?.seat;
  if (!map.children.length) performance.mark("first-seats");
  const rows = new Map();
  for (const seat of seats) {
    if (!rows.has(seat.row)) rows.set(seat.row, []);
    rows.get(seat.row).push(seat);
  }
  map.replaceChildren(
    ...[...rows].map(([name, row]) =>
      h("div", { role: "row", class: "row" },
        h("span", { role: "rowheader", class: "row-name" }, name),
        ...row.map((seat) => h("span", { role: "gridcell" }, button(seat)))),
    ),
  );
  relabel();
  const stop = map.querySelector(`[data-seat="${CSS.escape(focused ?? "")}"]`) ?? map.querySelector("button");
  if (stop) stop.tabIndex = 0;
  if (focused && stop) stop.focus();
}

function button(seat) {
  return h("button", { type: "button", tabindex: "-1", "data-seat": seat.seat, onclick: () => toggle(seat) });
}

const buttonOf = (seat) => map.querySelector(`[data-seat="${CSS.escape(seat.seat)}"]`);

/** Seconds for which a held seat is still promised to somebody, if the map says so. */
function leftOf(seat) {
  return seat.held_until ? Math.max(0, Math.ceil((new Date(seat.held_until) - Date.now()) / 1000)) : null;
}

function look(seat, mine) {
  const word = chosen.has(seat.seat) ? "chosen" : mine.has(seat.seat) ? "mine" : seat.state;
  const left = word === "held" ? leftOf(seat) : null;
  const found = buttonOf(seat);
  found.className = `seat ${word}`;
  say(found, left === null ? String(seat.number) : `${left}s`);
  const state = left === null ? t(`seat_${word}`) : t("seat_held_for", { left });
  found.setAttribute("aria-label", t("seat_label", { seat: seat.seat, state }));
  found.setAttribute("aria-pressed", String(word === "chosen"));
  found.setAttribute("aria-disabled", String(seat.state !== "free"));
}

function relabel() {
  if (!shown) return;
  const mine = mySeats(shown.event_id);
  for (const seat of seats) if (buttonOf(seat)) look(seat, mine);
  clearTimeout(ticking);
  if (seats.some((seat) => seat.state === "held" && leftOf(seat))) ticking = setTimeout(relabel, 1000);
}

function toggle(seat) {
  if (seat.state !== "free") return;
  if (chosen.has(seat.seat)) chosen.delete(seat.seat);
  else if (chosen.size < MOST) chosen.add(seat.seat);
  look(seat, mySeats(shown.event_id));
  changed();
}

function move(event) {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!step || !event.target.dataset.seat) return;
  event.preventDefault();
  const rows = [...map.children].map((row) => [...row.querySelectorAll("button")]);
  const y = rows.findIndex((row) => row.includes(event.target));
  const x = rows[y].indexOf(event.target);
  const row = rows[y + step[0]] ?? rows[y];
  const next = row[Math.max(0, Math.min(row.length - 1, x + step[1]))];
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
