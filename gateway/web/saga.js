// From the moments that reservations tells to what can be drawn: acts, spans, and what seat and money are between them.
// Pure: no element is made here.

export const LANES = ["reservations", "inventory", "payments", "notifications"];

const ENDS = new Set(["DECLINED", "PAYMENT_TIMEOUT", "UNAVAILABLE", "CANCELLED"]);
const ERRANDS = new Set(["capture", "notify"]); // what is still to do once the decision has fallen
const LATER = 3; // an errand that took so many times longer than the act has its own, or the steps were too small to see

/** Acts of a reservation: its making, each further attempt, its cancellation, what came late. Each has its own scale. */
export function actsOf(moments) {
  const acts = [];
  const now = { seat: "none", money: "untouched" };
  let asked = false; // whether this attempt may have asked for a payment
  let number = 0;
  for (const moment of moments) {
    const kind = actOf(moment, acts.at(-1));
    if (kind) {
      acts.push({ kind, attempt: moment.attempt, before: { ...now }, spans: [] });
      asked = kind === "cancel" || kind === "later";
    }
    asked ||= moment.step === "authorize";
    const end = new Date(moment.at).getTime();
    const isTry = moment.outcome === moment.outcome.toLowerCase(); // results are states, tries are plain words
    if (!isTry) number += 1;
    const span = {
      number, isTry, moment, start: end - (moment.duration_ms ?? 0), end, kind: moment.kind,
      lanes: moment.service ? [moment.service] : asked ? ["inventory", "payments"] : ["inventory"],
      seat: seatAfter(moment), money: moneyAfter(moment, asked),
    };
    now.seat = span.seat ?? now.seat;
    now.money = span.money ?? now.money;
    acts.at(-1).spans.push(span);
  }
  for (const act of acts) measure(act);
  return acts;
}

/** The kind of act that begins with `moment`; null when it belongs to the one that runs. */
function actOf(moment, act) {
  if (moment.step === "cancel") return "cancel";
  if (moment.step === "accept") return act ? "again" : "first";
  if (!act) return "first";
  const sofar = act.spans.at(-1).end - act.spans[0].start;
  return ERRANDS.has(moment.step) && act.kind !== "later" && moment.duration_ms > LATER * sofar ? "later" : null;
}

function measure(act) {
  act.start = Math.min(...act.spans.map((span) => span.start));
  act.end = Math.max(...act.spans.map((span) => span.end));
  act.whole = Math.max(1, act.end - act.start);
}

/** What the buyer's seat is after `moment`; null: as before. */
function seatAfter({ outcome }) {
  if (outcome === "HELD" || outcome === "AUTHORIZED") return "held";
  if (outcome === "CONFIRMED") return "yours";
  if (outcome === "CANCELLING" || outcome === "REFUNDING") return "freeing";
  if (ENDS.has(outcome) || outcome === "REFUNDED") return "free";
  return outcome === "RECEIVED" || outcome === "REFUSED" ? "none" : null;
}

function moneyAfter({ step, outcome }, asked) {
  if (step === "capture") return outcome === "SENT" ? "paid" : null;
  if (outcome === "AUTHORIZED") return "reserved";
  if (outcome === "CONFIRMED") return "charged";
  if (outcome === "REFUNDING") return "refunding";
  if (outcome === "REFUNDED") return "returned";
  if (outcome === "CANCELLING") return asked ? "voiding" : "untouched";
  if (ENDS.has(outcome)) return asked ? "voided" : "untouched";
  return outcome === "RECEIVED" || outcome === "HELD" || outcome === "REFUSED" ? "untouched" : null;
}

/** The stretches of an act during which `what` ("seat" or "money") stayed the same: {word, start, end}. */
export function stretches(act, what) {
  const found = [{ word: act.before[what], start: act.start, end: act.end }];
  for (const span of act.spans) {
    const last = found.at(-1);
    if (!span[what] || span[what] === last.word) continue;
    last.end = span.end;
    found.push({ word: span[what], start: span.end, end: act.end });
  }
  return found.filter(({ start, end }, index) => end > start || index === found.length - 1);
}
