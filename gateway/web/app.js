// Starts the page; each part lives in its own module.
import { startLanguage } from "./i18n.js";
import { startLive } from "./live.js";
import { startShop } from "./shop.js";
import { startMine } from "./mine.js";

startLanguage();
const lab = document.documentElement.dataset.lab === "1";
for (const part of document.querySelectorAll("[data-lab-only]")) {
  if (lab) part.hidden = false;
  else part.remove();
}
startMine();
startShop();
startLive();
if (lab) (await import("./lab.js")).startLab(); // a shop never loads it
