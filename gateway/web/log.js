// What happens in the mesh, told as it happens, out of the differences between two states.
import { clock, has, number, t } from "./i18n.js";
import { h, node } from "./dom.js";
import { edgeWords } from "./edges.js";
import { onLive, state } from "./live.js";

const MOST = 100;
let before = null;

/** One line in the log; the newest also stands under the picture, where things happen. */
export function note(text, kind = "") {
  const list = node("log");
  const at = clock(new Date());
  list.prepend(h("li", { class: kind }, h("time", {}, at), " ", text));
  node("latest").replaceChildren(h("time", {}, at), " ", h("span", { class: kind }, text));
  while (list.children.length > MOST) list.lastChild.remove();
}

export function startLog() {
  note(t("log_start"));
  if (state.mesh.length) before = seen(); // the stream began before this module was loaded
  onLive(() => {
    const now = seen();
    if (before) {
      faults(before.faults, now.faults);
      services(before.mesh, now.mesh);
      breakers(before.edges, now.edges);
      seats(before.events, now.events);
    }
    before = now;
  });
}

/** The state as it is, kept apart from the shared one, whose parts others replace. */
const seen = () => structuredClone({ mesh: state.mesh, faults: state.faults ?? [], events: state.events ?? [], edges: state.edges ?? [] });

const same = (one) => (other) => other.service === one.service && other.fault === one.fault;

function faults(old, now) {
  for (const one of now) if (!old.some(same(one))) note(t("log_fault_on", named(one)), "bad");
  for (const one of old) if (!now.some(same(one))) note(t("log_fault_off", named(one)), "good");
}

const named = (one) => ({ service: t(`service_${one.service}`), fault: one.fault });

function services(old, now) {
  for (const one of now) {
    const was = old.find((other) => other.service === one.service);
    if (!was || was.state === one.state) continue;
    note(t("log_service", { service: t(`service_${one.service}`), state: t(`state_${one.state}`) }), one.state === "ready" ? "good" : "bad");
  }
}

function breakers(old, now) {
  for (const edge of now) {
    const was = old.find((other) => other.source === edge.source && other.target === edge.target);
    if (!edge.phase || edge.phase === (was?.phase ?? "closed")) continue;
    const why = edge.why && has(`why_${edge.why}`) ? t(`why_${edge.why}`) : (edge.why ?? t("why_unknown"));
    note(t(`log_breaker_${edge.phase}`, { ...edgeWords(edge), why, wait: number(edge.retry_after_s ?? 0) }),
      edge.phase === "open" ? "bad" : edge.phase === "closed" ? "good" : "");
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
