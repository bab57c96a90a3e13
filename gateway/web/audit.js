// The audit: all databases against every promise, as a check list.
import { h, node, say } from "./dom.js";
import { clock, language, number, onLanguage, t } from "./i18n.js";

const MARK = { true: ["✓", "good"], false: ["✗", "bad"], null: ["–", "soft"] };
let last = null; // the last answer
let running = false;
let ask; // asks the lab

function item(one) {
  const [mark, kind] = MARK[one.ok];
  return h("li", { class: kind }, h("span", { class: `mark ${kind}`, "aria-hidden": "true" }, mark),
    h("span", {}, h("b", {}, String(one.number)), " ", one[`title_${language()}`] ?? one.name, " ",
      h("span", { class: "checked" }, one.ok === null ? t("audit_skipped") : t(one.ok ? "audit_holds" : "audit_broken", { checked: number(one.checked) }))),
    one.findings?.length ? h("ul", { class: "findings" }, ...one.findings.map((text) => h("li", {}, text))) : null);
}

function draw() {
  const button = node("audit-go");
  say(button, t(running ? "running" : "audit_go"));
  button.setAttribute("aria-disabled", String(running));
  if (!last) return;
  const { ok, body } = last;
  const verdict = node("audit-verdict");
  verdict.className = `verdict ${ok && body.ok ? "good" : "bad"}`;
  const red = ok ? body.invariants.filter((one) => one.ok === false).length : 0;
  say(verdict, !ok ? (body.detail ?? t("no_answer_detail"))
    : body.ok ? t("audit_green", { count: body.invariants.filter((one) => one.ok).length }) : t("audit_red", { count: red }));
  say(node("audit-note"), !ok ? "" : [
    t("audit_took", { at: clock(new Date(body.at)), took: number(body.took_ms) }), body.rest ? null : t("audit_busy"),
  ].filter(Boolean).join(" "));
  node("audit-list").replaceChildren(...(ok ? body.invariants.map(item) : []));
}

async function run() {
  if (running) return;
  running = true;
  draw();
  last = await ask("GET", "/api/lab/audit");
  running = false;
  draw();
}

export function startAudit(asking) {
  ask = asking;
  node("audit-go").addEventListener("click", run);
  onLanguage(draw);
}
