// From the moments that reservations stored to what can be drawn: acts, spans, and what seat and money are between them.
// Pure: no element is made here.

const LANE_OF = {
  accept: ["reservations"], confirm: ["reservations"], recover: ["reservations"], cancel: ["reservations"], retry: ["reservations"],
  hold: ["inventory"], sell: ["inventory"], authorize: ["payments"], capture: ["payments"], notify: ["notifications"],
  undo: ["inventory"], refund: ["inventory", "payments"],
};
const BACKWARD = new Set(["undo", "refund"]);
const ENDS = new Set(["DECLINED", "PAYMENT_TIMEOUT", "UNAVAILABLE", "CANCELLED"]);

export const LANES = ["reservations", "inventory", "payments", "notifications"];

/** Acts of a reservation: its making, each further attempt, its cancellation. Each has a scale of its own. */
export function actsOf(moments) {
  const acts = [];
  let asked = false; // whether this attempt may have asked for a payment
  let state = null;
  moments.forEach((moment, index) => {
    if (!acts.length || moment.step === "cancel" || (moment.step === "accept" && acts.at(-1).spans.length)) {
      acts.push({ kind: moment.step === "cancel" ? "cancel" : moment.attempt > 1 ? "again" : "first", attempt: moment.attempt, spans: [] });
      asked = moment.step === "cancel";
    }
    const act = acts.at(-1);
    asked ||= moment.step === "authorize";
    const end = new Date(moment.at).getTime();
    const before = act.spans.at(-1)?.end ?? end;
    const start = Number.isFinite(moment.duration_ms) ? end - moment.duration_ms : before;
    const kind = moment.kind ?? kindOf(moment, state);
    const lanes = moment.service ? [moment.service] : moment.step === "undo" && asked ? ["inventory", "payments"] : LANE_OF[moment.step] ?? ["reservations"];
    state = moment.outcome;
    act.spans.push({ number: index + 1, moment, start, end, kind, lanes, seat: seatAfter(state), money: moneyAfter(state, asked) });
  });
  for (const act of acts) measure(act);
  return acts;
}

function kindOf(moment, before) {
  if (moment.outcome === before) return "wait"; // a try that learnt nothing: the next one comes later
  if (BACKWARD.has(moment.step)) return "compensation";
  if (moment.outcome === "CANCELLING" || moment.outcome === "REFUSED") return "error";
  return "step";
}

function measure(act) {
  act.start = Math.min(...act.spans.map((span) => span.start));
  act.end = Math.max(...act.spans.map((span) => span.end));
  act.whole = Math.max(1, act.end - act.start);
}

/** What the buyer's seat is once `state` is stored; null: as before. */
function seatAfter(state) {
  if (state === "HELD" || state === "AUTHORIZED") return "held";
  if (state === "CONFIRMED") return "yours";
  if (state === "CANCELLING" || state === "REFUNDING") return "freeing";
  if (ENDS.has(state) || state === "REFUNDED") return "free";
  return state === "RECEIVED" || state === "REFUSED" ? "none" : null;
}

function moneyAfter(state, asked) {
  if (state === "AUTHORIZED") return "reserved";
  if (state === "CONFIRMED") return "charged";
  if (state === "REFUNDING") return "refunding";
  if (state === "REFUNDED") return "returned";
  if (state === "CANCELLING") return asked ? "voiding" : "untouched";
  if (ENDS.has(state)) return asked ? "voided" : "untouched";
  return state === "RECEIVED" || state === "HELD" || state === "REFUSED" ? "untouched" : null;
}

/** The stretches of an act during which `what` ("seat" or "money") stayed the same: {word, start, end}. */
export function stretches(act, what) {
  const found = [];
  for (const span of act.spans) {
    const word = span[what] ?? found.at(-1)?.word ?? "none";
    if (found.length && found.at(-1).word === word) continue;
    if (found.length) found.at(-1).end = span.end;
    found.push({ word, start: span.end, end: act.end });
  }
  return found;
}
