// An act of a reservation to scale: a lane per service, a bar per step, and what seat and money were meanwhile.
import { h } from "./dom.js";
import { duration, t } from "./i18n.js";
import { LANES, stretches } from "./saga.js";

const CLOSE = 0.035; // bars that begin nearer to each other than this share one number

/** The picture of `act` (see saga.js). The list under it says the same in words. */
export function gantt(act) {
  const used = LANES.filter((lane) => lane !== "notifications" || act.spans.some((span) => span.lanes.includes(lane)));
  const label = t("gantt_label", { steps: act.spans.length, whole: duration(act.whole) });
  return h("div", { class: "gantt", role: "img", "aria-label": label },
    ...used.map((lane) => row(t(`service_${lane}`), bars(act, lane))),
    row(t("your_seat"), ribbon(act, "seat"), "ribbon"), row(t("your_money"), ribbon(act, "money"), "ribbon"),
    row("", [0, 0.25, 0.5, 0.75, 1].map((share) => tick(act, share)), "axis"));
}

const row = (name, children, kind = "") => h("div", { class: `lane ${kind}` }, h("span", { class: "lane-name" }, name), h("div", { class: "track" }, ...children));

function put(element, act, start, end) {
  element.style.insetInlineStart = `${((start - act.start) / act.whole) * 100}%`;
  element.style.inlineSize = `max(4px, ${((end - start) / act.whole) * 100}%)`;
  return element;
}

function bars(act, lane) {
  let last = -1;
  return act.spans.filter((span) => span.lanes.includes(lane)).map((span) => {
    const share = (span.start - act.start) / act.whole;
    const numbered = last < 0 || share - last > CLOSE;
    if (numbered) last = share;
    const wide = (span.end - span.start) / act.whole > 0.14;
    const bar = h("span", { class: `bar ${span.kind}${share > 0.9 ? " last" : ""}` }, numbered ? h("b", {}, String(span.number)) : null,
      wide ? h("i", {}, duration(span.end - span.start)) : null);
    return put(bar, act, span.start, span.end);
  });
}

function ribbon(act, what) {
  return stretches(act, what).map(({ word, start, end }) => {
    const wide = (end - start) / act.whole > 0.13;
    return put(h("span", { class: `stretch ${what}-${word}` }, wide ? t(`${what}_now_${word}`) : ""), act, start, end);
  });
}

function tick(act, share) {
  const mark = h("span", { class: "tick" }, share ? duration(act.whole * share) : "0");
  mark.style.insetInlineStart = `${share * 100}%`;
  return mark;
}
