// An act of a reservation to scale: a lane per service, a bar per step, and what seat and money were meanwhile.
import { h } from "./dom.js";
import { duration, t } from "./i18n.js";
import { LANES, stretches } from "./saga.js";

const SCALE = 0.8; // share of the width that is to scale; the rest says how it stays afterwards
const CLOSE = 0.035; // bars that begin nearer to each other than this share one number

/** The picture of `act` (see saga.js). The list under it says the same in words. */
export function gantt(act) {
  const whole = act.kind === "first" || act.kind === "again"; // a purchase shows whom it did not reach, too
  const used = LANES.filter((lane) => (whole && lane !== "notifications") || act.spans.some((span) => span.lanes.includes(lane)));
  const label = t("gantt_label", { steps: act.spans.length, whole: duration(act.whole) });
  return h("div", { class: "gantt", role: "img", "aria-label": label },
    ...used.map((lane) => row(t(`service_${lane}`), bars(act, lane))),
    row(t("your_seat"), ribbon(act, "seat"), "ribbon"), row(t("your_money"), ribbon(act, "money"), "ribbon"),
    row("", [...[0, 0.25, 0.5, 0.75, 1].map((share) => tick(duration(act.whole * share), share * SCALE)), tick(t("afterwards"), 1)], "axis"));
}

const row = (name, children, kind = "") => h("div", { class: `lane ${kind}` }, h("span", { class: "lane-name" }, name), h("div", { class: "track" }, ...children));

function put(element, from, to) {
  element.style.insetInlineStart = `${from * 100}%`;
  element.style.inlineSize = `max(4px, ${(to - from) * 100}%)`;
  return element;
}

const at = (act, time) => ((time - act.start) / act.whole) * SCALE;

/** The classes of a span: its kind, whether it is a try, and whether that came to nothing. */
export const styleOf = (span) => [span.kind, span.isTry ? "try" : "", span.moment.outcome === "failed" || span.moment.outcome === "timeout" ? "lost" : ""]
  .filter(Boolean).join(" ");

/** Steps are whole bars with their number; what was tried on the way lies on them. */
function bars(act, lane) {
  let last = -1;
  const found = act.spans.filter((span) => span.lanes.includes(lane)).sort((a, b) => Number(a.isTry) - Number(b.isTry));
  return found.map((span) => {
    const [from, to] = [at(act, span.start), at(act, span.end)];
    const numbered = !span.isTry && (last < 0 || Math.abs(from - last) > CLOSE);
    if (numbered) last = from;
    return put(h("span", { class: `bar ${styleOf(span)}` }, numbered ? h("b", {}, String(span.number)) : null,
      to - from > 0.14 && !span.isTry ? h("i", {}, duration(span.end - span.start)) : null), from, to);
  });
}

function ribbon(act, what) {
  const parts = stretches(act, what);
  return parts.map(({ word, start, end }, index) => {
    const [from, to] = [at(act, start), index === parts.length - 1 ? 1 : at(act, end)];
    return put(h("span", { class: `stretch ${what}-${word}` }, to - from > 0.12 ? t(`${what}_now_${word}`) : ""), from, to);
  });
}

function tick(text, place) {
  const mark = h("span", { class: "tick" }, text);
  mark.style.insetInlineStart = `${place * 100}%`;
  return mark;
}
