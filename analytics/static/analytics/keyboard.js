// Makes django-unfold's clickable elements usable by keyboard.
// Rule: links, buttons and fields are not changed.

const CLICKABLE = "[x-on\\:click]:not(a[href], button, input, select, textarea, summary, [tabindex])";

function reachable(element) {
  element.tabIndex = 0;
  if (!element.hasAttribute("role")) element.setAttribute("role", "button");
  const label = element.textContent.trim();
  if (!element.hasAttribute("aria-label") && /^[a-z_]+$/.test(label)) element.setAttribute("aria-label", label.replaceAll("_", " "));
}

document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll(CLICKABLE)) {
    // An overlay that closes on a click has content of its own: not a button.
    if (!element.querySelector("a, button, input")) reachable(element);
  }
});

document.addEventListener("keydown", (event) => {
  const isPress = event.key === "Enter" || event.key === " ";
  if (isPress && event.target.matches?.('[x-on\\:click][role="button"]:not(button)')) {
    event.preventDefault();
    event.target.click();
  }
});
