// Requests that travel along the edges, at the rate at which they really happen. Nothing moves for those who asked
// their system for less motion: the rates stand beside the lines as numbers.
import { s } from "./dom.js";

const TRAVEL_MS = 900;
const MOST_PER_S = 9; // more dots than that say no more
const MOST = 120;
const still = matchMedia("(prefers-reduced-motion: reduce)");

let layer = null;
let paths = {};
const sources = new Map(); // edge name -> {rate, failing, blocked, due}
const dots = [];
let ticking = false;
let last = 0;

export function startFlow(group, points) {
  layer = group;
  paths = Object.fromEntries(Object.entries(points).map(([name, path]) => [name, measured(path)]));
}

/** Tell the flow what each edge does now; `edges` as in the stream. */
export function setFlow(edges) {
  for (const edge of edges) {
    const name = `${edge.source} ${edge.target}`;
    if (!(name in paths)) continue;
    const was = sources.get(name);
    // The first request after a pause is shown at once; later ones keep the rate.
    const due = was?.rate ? was.due : 1;
    const blocked = edge.phase === "open"; // then no call leaves its caller, whatever went well before
    const ended = Math.min(edge.effective ?? 1, edge.actual ?? 1);
    sources.set(name, { rate: Math.min(MOST_PER_S, Math.max(edge.per_s, edge.attempts_per_s)), failing: blocked ? 1 : 1 - ended, blocked, due });
  }
  if (!ticking && !still.matches && [...sources.values()].some((one) => one.rate > 0)) {
    ticking = true;
    last = performance.now();
    requestAnimationFrame(tick);
  }
}

function measured(points) {
  const pieces = points.slice(1).map((to, index) => {
    const from = points[index];
    return { from, to, length: Math.hypot(to[0] - from[0], to[1] - from[1]) };
  });
  return { pieces, length: pieces.reduce((sum, piece) => sum + piece.length, 0) };
}

function at({ pieces, length }, share) {
  let left = share * length;
  for (const { from, to, length: size } of pieces) {
    if (left <= size) return [from[0] + ((to[0] - from[0]) * left) / size, from[1] + ((to[1] - from[1]) * left) / size];
    left -= size;
  }
  return pieces.at(-1).to;
}

function tick(now) {
  const passed = Math.min(100, now - last);
  last = now;
  for (const [name, one] of sources) {
    one.due += (one.rate * passed) / 1000;
    while (one.due >= 1) {
      one.due -= 1;
      if (dots.length < MOST) dots.push(dot(name, one, now));
    }
  }
  for (let i = dots.length - 1; i >= 0; i -= 1) move(dots[i], now, i);
  ticking = !still.matches && (dots.length > 0 || [...sources.values()].some((one) => one.rate > 0));
  if (ticking) requestAnimationFrame(tick);
}

function dot(name, one, born) {
  const failed = Math.random() < one.failing;
  const shape = failed ? s("path", { class: "failed", d: "M-4 -4L4 4M4 -4L-4 4" }) : s("circle", { r: 4 });
  layer.append(shape);
  return { name, shape, failed, blocked: failed && one.blocked, born };
}

/** A request that fails comes back to its caller; one that meets an open breaker turns round there. */
function move(one, now, index) {
  const share = (now - one.born) / TRAVEL_MS;
  const reach = one.blocked ? 0.5 : 1;
  const end = one.failed ? 2 * reach : 1;
  if (share >= end) {
    one.shape.remove();
    dots.splice(index, 1);
    return;
  }
  const [x, y] = at(paths[one.name], share <= reach ? share : 2 * reach - share);
  one.shape.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
}
