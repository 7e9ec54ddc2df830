// Live figures, polled every two seconds while the page is visible.

const PERIOD_MS = 2000;
const TIMEOUT_MS = 5000;
const SPARK_POINTS = 40;

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 12,345; larger numbers are shortened. */
function count(value) {
  return value < 100_000 ? whole.format(value) : short.format(value);
}

function rate(value) {
  return value > 0 && value < 10 ? value.toFixed(1) : count(value);
}

/** Seconds in the two largest units. */
function duration(seconds) {
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [Math.floor(seconds) % 60, "s"],
  ];
  const first = Math.min(parts.findIndex(([amount]) => amount > 0) >>> 0, 3);
  return parts.slice(first, first + 2).map(([amount, unit]) => `${amount}${unit}`).join(" ");
}

const WRITTEN = { connections: count, events_per_second: rate, events: count, position: count, workers: count, uptime_seconds: duration };

function show(figures) {
  for (const [name, write] of Object.entries(WRITTEN)) {
    const place = document.querySelector(`[data-figure="${name}"]`);
    place.textContent = typeof figures[name] === "number" ? write(figures[name]) : "–";
  }
}

const rates = [];

function drawSpark(value) {
  rates.push(value);
  if (rates.length > SPARK_POINTS) rates.shift();
  if (rates.length < 2) return;
  const top = Math.max(1, ...rates);
  const from = SPARK_POINTS - rates.length;
  const points = rates.map((rate, i) => `${((from + i) * 120) / (SPARK_POINTS - 1)},${(31 - (28 * rate) / top).toFixed(1)}`);
  document.querySelector(".spark-line").setAttribute("d", `M${points.join("L")}`);
  document.querySelector(".spark-area").setAttribute("d", `M${points.join("L")}L120,32L${(from * 120) / (SPARK_POINTS - 1)},32Z`);
}

function say(state, text) {
  document.getElementById("figures").dataset.state = state;
  const badge = document.getElementById("relay-state");
  badge.dataset.state = state;
  badge.querySelector(".state-text").textContent = text;
}

async function refresh(url) {
  try {
    const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(`${answer.status}`);
    const figures = await answer.json();
    show(figures);
    drawSpark(figures.events_per_second);
    say("good", "Relay online");
  } catch {
    say("bad", "Relay does not answer");
  }
}

/** Poll, one request at a time, none while the page is hidden. */
export async function watchFigures(url) {
  for (;;) {
    if (document.hidden) {
      await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
      continue;
    }
    await refresh(url);
    await new Promise((later) => setTimeout(later, PERIOD_MS));
  }
}
