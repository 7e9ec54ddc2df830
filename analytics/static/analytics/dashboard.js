// The dashboard: polls figures each second while the page is visible; history.js draws the charts.
// Rule: text from the server is written with textContent.

import "./history.js";

const PERIOD_MS = 1000;
const TIMEOUT_MS = 5000;

const page = document.getElementById("dashboard");
const state = document.getElementById("dash-state");

function say(level, text) {
  const place = state.querySelector("[data-summary]");
  if (place.textContent !== text) place.textContent = text; // announced by screen readers only when it changes
  state.dataset.level = level;
}

function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function made(tag, text = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

function row(key, cells, headers) {
  const line = made("tr");
  line.dataset.key = key;
  line.append(...cells.map((cell) => made("td", cell)));
  headers.forEach((header, column) => (line.cells[column].dataset.label = header.textContent)); // shown on a phone
  return line;
}

/** Rows keep their places while they move, so that a reader's selection and scrolling stay. */
function fill(table, rows) {
  const body = table.tBodies[0];
  const known = Array.from(body.rows, (line) => line.dataset.key);
  if (known.join("\n") !== rows.map(({ key }) => key).join("\n")) body.replaceChildren(...rows.map(({ key, cells }) => row(key, cells, Array.from(table.tHead.rows[0].cells))));
  rows.forEach(({ cells, level }, place) => {
    const line = body.rows[place];
    line.dataset.level = level;
    cells.forEach((cell, column) => write(line.cells[column], cell));
  });
  table.parentElement.querySelector(".dash-empty").hidden = rows.length > 0;
}

function show({ figures, tables, level, summary }) {
  for (const place of page.querySelectorAll("[data-figure]")) write(place, figures[place.dataset.figure] ?? (place.matches(".dash-note") ? "" : "–"));
  for (const table of page.querySelectorAll("[data-table]")) fill(table, tables[table.dataset.table] ?? []);
  say(level, summary);
}

async function refresh() {
  try {
    const answer = await fetch(page.dataset.figures, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.status === 403) say("bad", "You are signed out: reload this page.");
    else if (answer.ok) show(await answer.json());
    else say("bad", "The relay answers with an error: these figures are outdated.");
    return answer.status !== 403;
  } catch {
    say("bad", "The relay does not answer: these figures are outdated.");
    return true;
  }
}

function later(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

async function watchFigures() {
  for (;;) {
    if (document.hidden) await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
    if (!(await refresh())) return;
    await later(PERIOD_MS);
  }
}

watchFigures();
