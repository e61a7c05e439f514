// What pages do better with a script; without it each of them works too.
"use strict";
document.documentElement.classList.add("script");
for (const one of document.querySelectorAll("[data-unless-script]")) one.hidden = true;
for (const one of document.querySelectorAll("[data-send]")) one.addEventListener("change", () => one.form.submit());
for (const one of document.querySelectorAll("[data-print]")) {
  one.hidden = false;
  one.addEventListener("click", () => print());
}

for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button[data-busy]");
    if (!button) return;
    button.textContent = button.dataset.busy;
    setTimeout(() => { button.disabled = true; });
  });
}
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

for (const area of document.querySelectorAll("[data-drop]")) {
  const input = area.querySelector("input[type=file]");
  for (const name of ["dragover", "dragleave", "drop"]) {
    area.addEventListener(name, (event) => {
      event.preventDefault();
      area.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length === 1) input.files = event.dataTransfer.files;
    });
  }
}

for (const area of document.querySelectorAll("[data-events]")) {
  const said = area.querySelector("[data-said]"), bar = area.querySelector("progress");
  const stages = JSON.parse(area.dataset.stages);
  const source = new EventSource(area.dataset.events);
  source.addEventListener("progress", (event) => {
    const job = JSON.parse(event.data), progress = job.progress || {};
    if (job.state === "queued") said.textContent = `${area.dataset.before} ${job.queue_place}`;
    else if (progress.stage) said.textContent = stages[progress.stage] || progress.stage;
    if (progress.total) bar.value = progress.done / progress.total;
  });
  for (const name of ["done", "failed", "cancelled"]) {
    source.addEventListener(name, () => { source.close(); location.reload(); });
  }
}
