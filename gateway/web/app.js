// Starts the page; each part lives in its own module.
import { startLanguage } from "./i18n.js";
import { startLive } from "./live.js";
import { startShop } from "./shop.js";
import { startMine } from "./mine.js";

startLanguage();
const lab = document.documentElement.dataset.lab === "1";
for (const node of document.querySelectorAll("[data-lab-only]")) node.hidden = !lab;
startMine();
startShop();
if (lab) (await import("./lab.js")).startLab();
startLive();
