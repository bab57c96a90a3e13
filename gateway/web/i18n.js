// Language of the page: what the address asks for, what this browser remembers, what it prefers; else Spanish.
// The texts are in texts.js.
import { TEXTS } from "./texts.js";

const KEY = "taquilla.language";
const asked = new URLSearchParams(location.search).get("lang");
const preferred = navigator.languages.map((tag) => tag.split("-")[0]);
let current = [asked, read(), ...preferred].find((one) => Object.hasOwn(TEXTS, one ?? "")) ?? "es";
const listeners = [];

function read() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage may be forbidden; the page works without it
  }
}

export const language = () => current;

/** The text `key` in the current language, with {placeholders} filled; a list of texts stays a list. */
export function t(key, values = {}) {
  const text = TEXTS[current][key];
  if (text === undefined) return key;
  const fill = (one) => one.replace(/\{(\w+)\}/g, (hole, name) => values[name] ?? hole);
  return Array.isArray(text) ? text.map(fill) : fill(text);
}

export const has = (key) => key in TEXTS[current];

export const money = ({ amount_minor: minor, currency }) =>
  new Intl.NumberFormat(current, { style: "currency", currency }).format(minor / 100);

/** A number as the language writes it, with at most one decimal. */
export const number = (value) => new Intl.NumberFormat(current, { maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);

/** A share of 1 in percent; 99.96 % is not 100 %. */
export const percent = (share) =>
  new Intl.NumberFormat(current, { style: "percent", maximumFractionDigits: 1, roundingMode: "floor" }).format(share);

/** Milliseconds as people say them. */
export const duration = (ms) => (ms < 1000 ? `${number(Math.round(ms))} ms`
  : `${new Intl.NumberFormat(current, { maximumFractionDigits: ms < 10_000 ? 2 : 1 }).format(ms / 1000)} s`);

export const clock = (date) =>
  new Intl.DateTimeFormat(current, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(date);

/** Run `render` now and after every change of language. */
export function onLanguage(render) {
  listeners.push(render);
  render();
}

function fillPage() {
  document.documentElement.lang = current;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
}

export function startLanguage() {
  const button = document.getElementById("language");
  onLanguage(() => {
    fillPage();
    button.textContent = t("other_language");
    button.lang = current === "es" ? "en" : "es";
  });
  button.addEventListener("click", () => {
    current = current === "es" ? "en" : "es";
    try {
      localStorage.setItem(KEY, current);
    } catch { /* not remembered, still switched */ }
    const address = new URL(location.href);
    address.searchParams.delete("lang"); // the switch is the newer wish, also after a reload
    history.replaceState(null, "", address);
    for (const render of listeners) render();
  });
}
