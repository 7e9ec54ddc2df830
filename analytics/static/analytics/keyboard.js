// Makes django-unfold's clickable elements usable by keyboard, and names controls without a label.
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

/** Dates and times have a label for both fields, or none; links of calendar and clock have a title inside. */
function nameDateFields() {
  for (const field of document.querySelectorAll(":is(.vDateField, .vTimeField):not([aria-label])")) {
    const label = field.closest(".field-line, .form-row")?.querySelector("label")?.textContent.trim() ?? "";
    field.setAttribute("aria-label", `${label} ${field.placeholder || (field.matches(".vDateField") ? "date" : "time")}`.trim());
  }
  for (const inside of document.querySelectorAll("a:not([aria-label]) > [title]")) inside.parentElement.setAttribute("aria-label", inside.title);
}

addEventListener("load", () => setTimeout(nameDateFields)); // after Django's own script, which adds the links at load

document.addEventListener("keydown", (event) => {
  const isPress = event.key === "Enter" || event.key === " ";
  if (isPress && event.target.matches?.('[x-on\\:click][role="button"]:not(button)')) {
    event.preventDefault();
    event.target.click();
  }
});
