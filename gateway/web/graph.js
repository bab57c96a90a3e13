// The mesh as one picture: five services, the calls between them, and on each call its breaker drawn as a switch.
// Whoever cannot see it reads the same values in the table (edges.js).
import { h, node, s, say } from "./dom.js";
import { number, t } from "./i18n.js";
import { startFlow } from "./flow.js";

const BOX = { width: 134, height: 52 };
const PLACES = {
  gateway: [70, 166], reservations: [308, 166], inventory: [578, 56], payments: [578, 166], notifications: [578, 276],
  provider: [794, 166],
};
// From border to border; the switch and its words stand at the middle of the longest piece.
const PATHS = {
  "gateway reservations": [[137, 166], [241, 166]],
  "gateway inventory": [[70, 140], [70, 56], [511, 56]],
  "reservations inventory": [[308, 140], [308, 106], [511, 70]],
  "reservations payments": [[375, 166], [511, 166]],
  "reservations notifications": [[308, 192], [308, 232], [511, 268]],
  "payments provider": [[645, 166], [727, 166]],
};
const LEVER = { closed: 0, half_open: -14, open: -32 }; // degrees: how far the switch stands open
const SHAPE = { ready: "✓", not_ready: "!", failing: "✗", down: "✗" };
const RETRYING = 0.05; // attempts per second above the calls; less is rounding

const nameOf = (edge) => `${edge.source} ${edge.target}`;
const boxes = {};
const lines = {};

export function startGraph() {
  const picture = node("graph");
  const flows = s("g", { class: "flows" });
  picture.replaceChildren(
    ...Object.entries(PATHS).map(([name, points]) => (lines[name] = line(points)).group),
    flows,
    ...Object.entries(PLACES).map(([name, place]) => (boxes[name] = box(place, name)).group),
  );
  startFlow(flows, PATHS);
}

/** Draw what `state` says; called after every event of the stream and after a change of language. */
export function drawGraph(state) {
  for (const one of state.mesh) drawBox(one, (state.faults ?? []).filter((it) => it.service === one.service));
  say(boxes.provider.name, t("service_provider"));
  say(boxes.provider.word, t("simulated"));
  for (const edge of state.edges ?? []) if (nameOf(edge) in lines) drawLine(lines[nameOf(edge)], edge);
}

function box([x, y], name) {
  const { width, height } = BOX;
  const parts = {
    name: s("text", { class: "name", y: -4 }),
    word: s("text", { class: "word", y: 16 }),
    fault: s("text", { class: "fault", y: -height / 2 - 8 }),
  };
  const frame = s("rect", { x: -width / 2, y: -height / 2, width, height, rx: 10 });
  parts.group = s("g", { class: `box ${name}`, transform: `translate(${x} ${y})` }, frame, parts.name, parts.word, parts.fault);
  return parts;
}

function drawBox(one, faults) {
  const parts = boxes[one.service];
  parts.group.setAttribute("class", `box ${one.state}`);
  say(parts.name, t(`service_${one.service}`));
  say(parts.word, `${SHAPE[one.state]} ${t(`state_${one.state}`)}`);
  say(parts.fault, faults.length ? `⚡ ${faults.map((it) => it.fault).join(", ")}` : "");
}

function longest(points) {
  let best = null;
  for (let i = 1; i < points.length; i += 1) {
    const [[x1, y1], [x2, y2]] = [points[i - 1], points[i]];
    const length = Math.hypot(x2 - x1, y2 - y1);
    if (!best || length > best.length) {
      best = { length, x: (x1 + x2) / 2, y: (y1 + y2) / 2, turn: (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI };
    }
  }
  return best;
}

function line(points) {
  const path = `M${points.map((point) => point.join(" ")).join("L")}`;
  const middle = longest(points);
  const lever = s("line", { x1: -13, y1: 0, x2: 13, y2: 0 });
  const dots = [-13, 13].map((cx) => s("circle", { cx, cy: 0, r: 3.5 }));
  const parts = {
    lever,
    breaker: s("g", { class: "breaker", transform: `translate(${middle.x} ${middle.y}) rotate(${middle.turn})` },
      s("rect", { x: -13, y: -5, width: 26, height: 10 }), lever, ...dots),
    rate: s("text", { class: "rate", x: middle.x, y: middle.y - 18 }),
    word: s("text", { class: "word", x: middle.x, y: middle.y + 23 }),
  };
  parts.group = s("g", { class: "edge" }, s("path", { class: "wire", d: path }),
    s("path", { class: "retries", d: path, transform: "translate(6 6)" }), parts.breaker, parts.rate, parts.word);
  return parts;
}

function drawLine(parts, edge) {
  const retries = edge.attempts_per_s - edge.per_s;
  const again = retries > RETRYING;
  parts.group.setAttribute("class", `edge ${edge.phase ?? "plain"}${again ? " retrying" : ""}`);
  parts.lever.setAttribute("transform", `rotate(${LEVER[edge.phase] ?? 0} -13 0)`);
  say(parts.rate, edge.per_s || again ? t("per_second", { rate: number(edge.per_s) }) : "");
  const tripped = edge.phase && edge.phase !== "closed";
  say(parts.word, tripped ? t(`phase_${edge.phase}`) : again ? t("graph_retries", { rate: number(retries) }) : "");
}

/** The legend under the picture: what its shapes mean. */
export function drawLegend() {
  const switchOf = (phase) => s("svg", { viewBox: "-20 -14 40 28", class: `sample edge ${phase}`, "aria-hidden": "true" },
    s("g", { class: "breaker" },
      s("line", { x1: -13, y1: 0, x2: 13, y2: 0, transform: `rotate(${LEVER[phase]} -13 0)` }),
      s("circle", { cx: -13, cy: 0, r: 3.5 }), s("circle", { cx: 13, cy: 0, r: 3.5 })));
  const marks = [["flow-good", "●"], ["flow-bad", "×"], ["flow-retry", "┄"]];
  node("graph-legend").replaceChildren(
    ...Object.keys(LEVER).map((phase) => h("li", {}, switchOf(phase), t(`phase_${phase}_long`))),
    ...marks.map(([name, mark]) => h("li", {}, h("span", { class: name, "aria-hidden": "true" }, mark), t(name.replace("-", "_")))),
  );
}
