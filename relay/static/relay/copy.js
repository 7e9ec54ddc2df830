// Buttons that copy a text: <button data-copy="text">. Without a secure context (plain HTTP) the old command copies.

const SHOWN_MS = 2000;

function copiedByCommand(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed";
  field.style.opacity = "0";
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  return isDone;
}

async function copy(text) {
  if (!navigator.clipboard) return copiedByCommand(text);
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedByCommand(text);
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button[data-copy]");
  if (!button) return;
  button.textContent = (await copy(button.dataset.copy)) ? "Copied" : "Not copied";
  button.focus();
  setTimeout(() => (button.textContent = "Copy"), SHOWN_MS);
});
