// Live events: an ordinary Nostr client of this relay. REQ for notes, newest on top, at most fifty kept.
// Rule: events are untrusted: validated, truncated, and written with textContent.

const SUBSCRIPTION = "front";
const ASKED = 20;
const KEPT = 50;
const SHOWN_CHARACTERS = 800;
const DRAW_MS = 200;
const SHORTEST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30_000;

const list = document.getElementById("notes");
const empty = document.getElementById("empty");
const badge = document.getElementById("live-state");
const pause = document.getElementById("pause");

/** The event, if it is valid and can be shown. */
function note(message) {
  const [verb, , event] = message;
  if (verb !== "EVENT" || typeof event !== "object" || event === null) return null;
  const isNote = typeof event.id === "string" && typeof event.pubkey === "string" && typeof event.content === "string";
  return isNote && Number.isInteger(event.created_at) ? event : null;
}

function ago(seconds) {
  const past = Date.now() / 1000 - seconds;
  if (past < 5) return "now";
  for (const [length, unit] of [[86_400 * 365, "y"], [86_400, "d"], [3600, "h"], [60, "min"]]) {
    if (past >= length) return `${Math.floor(past / length)} ${unit}`;
  }
  return `${Math.floor(past)} s`;
}

function made(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

/** Truncate by code points, so that no surrogate pair is split. */
function cut(text) {
  return text.length > SHOWN_CHARACTERS ? `${[...text.slice(0, 2 * SHOWN_CHARACTERS)].slice(0, SHOWN_CHARACTERS).join("")}…` : text;
}

function drawn(event, isFresh) {
  const item = made("li", isFresh ? "note fresh" : "note");
  item.dataset.id = event.id;
  const avatar = made("span", "avatar");
  avatar.style.setProperty("--hue", (parseInt(event.pubkey.slice(0, 4), 16) || 0) % 360);
  avatar.style.setProperty("--hue-2", (parseInt(event.pubkey.slice(4, 8), 16) || 0) % 360);
  const who = made("span", "who", `${event.pubkey.slice(0, 8)}…${event.pubkey.slice(-4)}`);
  who.title = event.pubkey;
  const when = made("time", "", ago(event.created_at));
  when.dataset.at = event.created_at;
  const moment = new Date(event.created_at * 1000);
  if (!Number.isNaN(moment.getTime())) when.dateTime = when.title = moment.toISOString();
  const isBlank = event.content.trim() === "";
  const text = made("p", isBlank ? "note-text nothing" : "note-text", isBlank ? "empty note" : cut(event.content));
  text.dir = "auto";
  const head = made("div", "note-head");
  head.append(who, when);
  const body = made("div", "note-body");
  body.append(head, text);
  item.append(avatar, body);
  return item;
}

/** Events since the last rendering: at most one rendering in DRAW_MS, of the newest only. */
let arrived = [];
let drawing = 0;
let isStored = true;

function put(event) {
  arrived.push(event);
  if (arrived.length > 2 * KEPT) arrived = arrived.slice(-KEPT);
  if (!isStored && !drawing) drawing = setTimeout(draw, DRAW_MS);
}

function draw() {
  drawing = 0;
  const known = new Set(Array.from(list.children, (item) => item.dataset.id));
  for (const event of arrived.slice(-KEPT)) {
    if (known.has(event.id)) continue;
    known.add(event.id);
    list.prepend(drawn(event, !isStored));
  }
  arrived = [];
  while (list.children.length > KEPT) list.lastElementChild.remove();
  empty.hidden = list.children.length > 0;
}

/** Stored events come newest first: reversed, they are rendered like live ones. */
function drawStored() {
  arrived.reverse();
  draw();
  isStored = false;
}

function say(state, text) {
  badge.dataset.state = state;
  badge.querySelector(".state-text").textContent = text;
}

function receive(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch {
    return;
  }
  if (!Array.isArray(message)) return;
  const event = note(message);
  if (event) put(event);
  else if (message[0] === "EOSE") {
    wait = SHORTEST_WAIT_MS;
    drawStored();
  } else if (message[0] === "CLOSED") socket?.close();
}

let socket = null;
let retry = 0;
let wait = SHORTEST_WAIT_MS;
let isPaused = false;

function open(url) {
  clearTimeout(retry);
  if (socket || isPaused || document.hidden) return;
  say("waiting", "Connecting");
  const mine = (socket = new WebSocket(url));
  arrived = [];
  isStored = true;
  mine.onopen = () => {
    say("good", "Live");
    mine.send(JSON.stringify(["REQ", SUBSCRIPTION, { kinds: [1], limit: ASKED }]));
  };
  mine.onmessage = ({ data }) => mine === socket && receive(data);
  mine.onclose = () => {
    if (mine !== socket) return;
    socket = null;
    const spread = wait * (0.75 + Math.random() / 2);
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
    say("bad", "Reconnecting");
    retry = setTimeout(() => open(url), spread);
  };
}

function close(text) {
  clearTimeout(retry);
  const mine = socket;
  socket = null;
  mine?.close();
  if (arrived.length && !isStored) draw();
  say("waiting", text);
}

/** Follow the relay at `url`: reconnects with backoff, pauses while the page is hidden. */
export function followEvents(url) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Resume" : "Pause";
    if (isPaused) close("Paused");
    else open(url);
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? close("Paused") : isPaused || open(url)));
  setInterval(() => {
    for (const when of list.querySelectorAll("time")) when.textContent = ago(Number(when.dataset.at));
  }, 5000);
  open(url);
}
