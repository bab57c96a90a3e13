// What happens in the mesh, told as it happens, out of the differences between two states.
import { clock, t } from "./i18n.js";
import { h } from "./api.js";
import { onLive } from "./live.js";

const MOST = 100;
let before = null;

/** One line in the log. */
export function note(text, kind = "") {
  const list = document.getElementById("log");
  list.prepend(h("li", { class: kind }, h("time", {}, clock(new Date())), " ", text));
  while (list.children.length > MOST) list.lastChild.remove();
}

export function startLog() {
  note(t("log_start"));
  onLive((state) => {
    const now = { mesh: state.mesh, faults: state.faults ?? [], events: state.events ?? [] };
    if (before) {
      faults(before.faults, now.faults);
      services(before.mesh, now.mesh);
      seats(before.events, now.events);
    }
    // Kept apart from the shared state, whose parts others may replace.
    before = structuredClone(now);
  });
}

const same = (one) => (other) => other.service === one.service && other.fault === one.fault;

function faults(old, now) {
  for (const one of now) if (!old.some(same(one))) note(t("log_fault_on", named(one)), "bad");
  for (const one of old) if (!now.some(same(one))) note(t("log_fault_off", named(one)), "good");
}

const named = (one) => ({ service: t(`service_${one.service}`), fault: one.fault });

function services(old, now) {
  for (const one of now) {
    const was = old.find((other) => other.service === one.service);
    if (!was) continue;
    if (was.state !== one.state) {
      const values = { service: t(`service_${one.service}`), state: t(`state_${one.state}`) };
      note(t("log_service", values), one.state === "ready" ? "good" : "bad");
    }
    for (const breaker of one.breakers) {
      const phase = was.breakers.find((other) => other.edge === breaker.edge)?.phase ?? "closed";
      if (phase === breaker.phase) continue;
      const values = { service: t(`service_${one.service}`), edge: breaker.edge, wait: breaker.retry_after_s };
      note(t(`log_breaker_${breaker.phase}`, values), breaker.phase === "closed" ? "good" : "bad");
    }
  }
}

function seats(old, now) {
  for (const one of now) {
    const was = old.find((other) => other.event_id === one.event_id);
    if (!was) continue;
    const sold = one.sold - was.sold;
    const values = { event: one.name, count: Math.abs(sold), left: one.available };
    if (sold > 0) note(t("log_sold", values), "good");
    else if (sold < 0) note(t("log_returned", values));
    else if (one.available > was.available && was.held > one.held) note(t("log_released", values));
  }
}
