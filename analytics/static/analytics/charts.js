// Charts of the history, drawn by Chart.js (part of django-unfold) from series of the server.

const COLOURS = ["--color-primary-500", "--chart-2", "--chart-3", "--chart-4"];
const OWN = { "--chart-2": "#d97706", "--chart-3": "#3b82f6", "--chart-4": "#a855f7" };
const TIMEOUT_MS = 10_000;

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

/** Labels of an axis with just the digits that tell neighbours apart: 0.05, 0.1 or 1.25K, 1.5K. */
function tick(value, _place, ticks) {
  const step = ticks.length > 1 ? Math.abs(ticks[1].value - ticks[0].value) : Math.abs(value) || 1;
  const unit = [1e9, 1e6, 1e3].find((size) => Math.abs(ticks.at(-1).value) >= 10 * size) ?? 1;
  const digits = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9)));
  const suffix = { 1e9: " G", 1e6: " M", 1e3: " k" }[unit] ?? "";
  return (value / unit).toLocaleString("en", { maximumFractionDigits: digits + (unit > 1 ? 1 : 0) }) + (value ? suffix : "");
}

function colour(name) {
  return OWN[name] ?? getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options({ unit, isTotal, times }) {
  const isDark = document.documentElement.classList.contains("dark");
  const ink = isDark ? "#9ca3af" : "#6b7280";
  const line = isDark ? "rgb(255 255 255 / 8%)" : "rgb(0 0 0 / 7%)";
  return {
    animation: false,
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    elements: { point: { radius: 0, hitRadius: 8 }, line: { borderWidth: 1.75, tension: 0 } },
    plugins: {
      legend: { position: "bottom", align: "start", labels: { color: ink, boxWidth: 10, boxHeight: 2, padding: 10, font: { size: 11 } } },
      tooltip: { callbacks: { title: ([item]) => times[item.dataIndex], label: (item) => `${item.dataset.label}: ${number.format(item.parsed.y)} ${unit === "count" ? "" : unit}` } },
    },
    scales: {
      x: { grid: { display: false }, ticks: { color: ink, maxTicksLimit: 5, maxRotation: 0, autoSkipPadding: 16, font: { size: 11 } } },
      y: {
        beginAtZero: !isTotal, min: isTotal ? undefined : 0, grid: { color: line }, border: { display: false },
        ticks: { color: ink, maxTicksLimit: 5, precision: unit === "count" ? 0 : undefined, font: { size: 11 }, callback: tick },
      },
    },
  };
}

function datasets(lines) {
  return lines.map(({ label, values }, place) => ({ label, data: values, borderColor: colour(COLOURS[place]), backgroundColor: colour(COLOURS[place]) }));
}

/** A single point has no line: draw the point. */
function pointRadius(values) {
  return values.filter((value) => value !== null).length < 3 ? 2.5 : 0;
}

function described(canvas, lines) {
  const parts = lines.map(({ label, values }) => {
    const known = values.filter((value) => value !== null);
    return known.length ? `${label}: now ${number.format(known.at(-1))}, highest ${number.format(Math.max(...known))}` : `${label}: no data`;
  });
  canvas.setAttribute("aria-label", `${canvas.closest("figure").querySelector("figcaption").textContent.trim()}. ${parts.join("; ")}`);
}

function draw(canvas, { labels, times }, lines) {
  const { unit, total } = canvas.dataset;
  const data = { labels, datasets: datasets(lines).map((set) => ({ ...set, pointRadius: pointRadius(set.data) })) };
  window.Chart.getChart(canvas)?.destroy();
  new window.Chart(canvas, { type: "line", data, options: options({ unit, isTotal: total === "true", times }) });
  described(canvas, lines);
}

/** Fetch the series of a period and draw its charts. Throws without a response. */
export async function drawHistory(url, period) {
  const answer = await fetch(`${url}?period=${period}`, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`${answer.status}`);
  const { charts, ...points } = await answer.json();
  for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
    if (charts[canvas.dataset.chart]) draw(canvas, points, charts[canvas.dataset.chart]);
  }
  return Object.values(charts).some((lines) => lines.some(({ values }) => values.some((value) => value !== null)));
}
