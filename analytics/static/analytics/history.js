// Charts of the history: drawn at load, each minute, and when the period or the theme changes.

import { drawHistory } from "./charts.js";

const CHARTS_MS = 60_000;

const page = document.getElementById("dashboard");
let period = "hour";

async function drawCharts() {
  try {
    document.getElementById("dash-charts-empty").hidden = await drawHistory(page.dataset.history, period);
  } catch {
    // without a response the charts stay unchanged
  }
}

function choose(button) {
  period = button.dataset.period;
  for (const other of page.querySelectorAll("[data-period]")) other.setAttribute("aria-pressed", String(other === button));
  drawCharts();
}

for (const button of page.querySelectorAll("[data-period]")) button.addEventListener("click", () => choose(button));
setInterval(() => document.hidden || drawCharts(), CHARTS_MS);

let wasDark = document.documentElement.classList.contains("dark");
new MutationObserver(() => {
  const isDark = document.documentElement.classList.contains("dark");
  if (isDark !== wasDark) drawCharts();
  wasDark = isDark;
}).observe(document.documentElement, { attributeFilter: ["class"] });

drawCharts();
