// The front page: addresses, copy buttons, live figures, live events.
// Rule: data from the network is written with textContent, never as markup.

import { watchFigures } from "./figures.js";
import { followEvents } from "./live.js";

const LOCAL = new Set(["0.0.0.0", "127.0.0.1", "localhost", "[::]", "[::1]"]);

/** The relay's address by the host name of this page. */
function hereUrl() {
  return `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/`;
}

/** The published address, unless it is a loopback address and this page's is not. */
function shownUrl(published) {
  const isElsewhere = !LOCAL.has(location.hostname);
  return isElsewhere && LOCAL.has(new URL(published).hostname) ? hereUrl().slice(0, -1) : published;
}

function showAddress(url) {
  for (const place of document.querySelectorAll("[data-address]")) place.textContent = url;
  for (const place of document.querySelectorAll("[data-http-address]")) place.textContent = url.replace(/^ws/, "http");
}

/** Copy text; execCommand for pages without HTTPS. */
async function copy(element) {
  if (navigator.clipboard) return navigator.clipboard.writeText(element.textContent);
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
  if (!document.execCommand("copy")) throw new Error("select and copy by hand");
  selection.removeAllRanges();
}

function copyOnClick(button) {
  const label = button.textContent;
  let back;
  button.addEventListener("click", async () => {
    let said = "Copied";
    try {
      await copy(document.querySelector(button.dataset.copy));
    } catch {
      said = "Not copied";
    }
    button.textContent = said;
    document.getElementById("said").textContent = said;
    clearTimeout(back);
    back = setTimeout(() => {
      button.textContent = label;
      document.getElementById("said").textContent = "";
    }, 1800);
  });
}

const published = document.body.dataset.relayUrl;
showAddress(shownUrl(published));
document.querySelectorAll("[data-copy]").forEach(copyOnClick);
watchFigures("/api/status");
followEvents(new URL(published).host === location.host && location.protocol !== "https:" ? published : hereUrl());
