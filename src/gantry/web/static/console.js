// The console works without this file; with it, pages are live.
"use strict";

const TICK_MS = 2000;
const MAX_LOG_LINES = 5000;

// ---- live regions: refreshed while the tab is visible -------------------------------------------------------------
const dialog = document.getElementById("confirm");
const refresh = () => document.body.dispatchEvent(new Event("gantry:tick"));

setInterval(() => {
  if (document.visibilityState === "visible" && !dialog.open) refresh();
}, TICK_MS);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") refresh();
});

// ---- elapsed times of what runs -------------------------------------------------------------------------------
const worded = (seconds) => {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  const rest = (value, unit) => (value ? ` ${value} ${unit}` : "");
  if (minutes < 60) return `${minutes} min${rest(whole % 60, "s")}`;
  return `${Math.floor(minutes / 60)} h${rest(minutes % 60, "min")}`;
};
// The page says how far this machine's clock is from the server's.
const skewMs = Date.now() - Date.parse(document.documentElement.dataset.now);
setInterval(() => {
  for (const element of document.querySelectorAll("[data-since]")) {
    const seconds = (Date.now() - skewMs - Date.parse(element.dataset.since)) / 1000;
    element.textContent = worded(Math.max(0, seconds));
  }
}, 200);

// ---- theme ----------------------------------------------------------------------------------------------------
const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
for (const button of document.querySelectorAll("[data-theme-toggle]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("gantry-theme", theme);
    } catch {
      // Storage can be forbidden; the choice lasts for this page then.
    }
  });
}

// ---- confirmation ---------------------------------------------------------------------------------------------
// The dialog has a form of its own: the one that was submitted may be refreshed away while it is open.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm) return;
  event.preventDefault();
  const own = dialog.querySelector("form");
  own.action = form.action;
  dialog.querySelector("h2").textContent = form.dataset.confirm;
  dialog.querySelector("p").textContent = form.dataset.confirmText || "";
  const yes = dialog.querySelector("[data-yes]");
  yes.textContent = form.dataset.confirmButton || "Confirm";
  yes.classList.toggle("danger", form.dataset.confirmTone === "danger");
  own.replaceChildren(
    ...Array.from(new FormData(form), ([name, value]) => {
      const input = document.createElement("input");
      Object.assign(input, { type: "hidden", name, value });
      return input;
    }),
  );
  dialog.showModal();
});
dialog.querySelector("[data-no]").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});

// ---- copy -----------------------------------------------------------------------------------------------------
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1500);
});

// ---- fields ---------------------------------------------------------------------------------------------------
// The browser's own words for a pattern that does not match say nothing of the pattern.
document.addEventListener("invalid", (event) => {
  const field = event.target;
  if (field.dataset.invalid && field.validity.patternMismatch) field.setCustomValidity(field.dataset.invalid);
}, true);
document.addEventListener("input", (event) => event.target.setCustomValidity?.(""));

// ---- logs -----------------------------------------------------------------------------------------------------
// Colours and cursor movements of terminals: taken out.
const ANSI = /\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b\][^\u0007]*\u0007|\r/g;

// From the least urgent to the most; a line that tells none counts as info.
const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];

const nameOf = (body) => {
  if (!body.process) return body.source;
  const slot = body.slot === null ? "" : `.${body.slot}`;
  return `${body.process}${slot}${body.release_number === null ? "" : ` #${body.release_number}`}`;
};

const follow = (panel) => {
  const status = document.getElementById(panel.dataset.status);
  const source = new EventSource(panel.dataset.stream);
  // Steps follow each other and get headings; instances talk at the same time and are named on each line.
  const inline = panel.dataset.sources === "inline";
  let heading = null;

  const atEnd = () => panel.scrollHeight - panel.scrollTop - panel.clientHeight < 40;
  const search = document.getElementById(panel.dataset.search);
  const chosen = document.getElementById(panel.dataset.processes);
  const least = document.getElementById(panel.dataset.levels);
  const wanted = (element) =>
    (!search?.value || element.textContent.toLowerCase().includes(search.value.toLowerCase())) &&
    (!chosen?.value || element.dataset.label === chosen.value) &&
    (!least?.value || LEVELS.indexOf(element.dataset.level || "info") >= LEVELS.indexOf(least.value));
  const filter = () => {
    for (const element of panel.querySelectorAll(".log-line")) element.hidden = !wanted(element);
    panel.scrollTop = panel.scrollHeight;
  };
  search?.addEventListener("input", filter);
  chosen?.addEventListener("change", filter);
  least?.addEventListener("change", filter);
  const known = (label) => {
    if (chosen && ![...chosen.options].some((option) => option.value === label)) chosen.add(new Option(label, label));
  };
  const add = (label, text, times = [], levels = []) => {
    const stay = atEnd();
    if (inline) known(label);
    if (!inline && label !== heading) {
      const element = document.createElement("div");
      element.className = "log-heading";
      element.textContent = label;
      panel.append(element);
      heading = label;
    }
    const since = new Map(times.map((change) => [change.line, new Date(change.at)]));
    const changes = new Map(levels.map((change) => [change.line, change.level]));
    let at = null;
    let level = null;
    for (const [number, line] of text.replace(ANSI, "").replace(/\n$/, "").split("\n").entries()) {
      const element = document.createElement("div");
      element.className = "log-line";
      at = since.get(number) || at;
      if (changes.has(number)) level = changes.get(number);
      if (level) element.dataset.level = level;
      if (inline) {
        element.dataset.label = label;
        if (at) {
          const time = document.createElement("time");
          time.dateTime = at.toISOString();
          time.title = at.toLocaleString();
          time.textContent = at.toLocaleTimeString([], { hour12: false });
          element.append(time);
        }
        const source = document.createElement("span");
        source.className = "log-source";
        source.textContent = label;
        element.append(source);
      }
      element.append(line || " ");
      element.hidden = inline && !wanted(element);
      panel.append(element);
    }
    while (panel.childElementCount > MAX_LOG_LINES) panel.firstElementChild.remove();
    if (stay) panel.scrollTop = panel.scrollHeight;
  };

  // After a lost connection the server tells everything from the beginning.
  source.addEventListener("open", () => {
    panel.replaceChildren();
    heading = null;
    status.textContent = "live";
    status.dataset.live = "";
  });
  source.addEventListener("error", () => {
    status.textContent = source.readyState === EventSource.CLOSED ? "closed" : "connecting again…";
    delete status.dataset.live;
  });
  source.addEventListener("log", (event) => {
    const body = JSON.parse(event.data);
    add(body.step || nameOf(body), body.text, body.times, body.levels);
  });
  source.addEventListener("deploy", refresh);
  source.addEventListener("end", () => {
    source.close();
    refresh();
    status.textContent = "ended";
    delete status.dataset.live;
    // Without a line there is nothing to frame.
    const isEmpty = !panel.childElementCount;
    panel.closest(".log-panel").classList.toggle("is-empty", isEmpty);
    if (isEmpty) status.textContent = "nothing was printed, or the log is no longer kept";
  });
};
for (const panel of document.querySelectorAll("[data-stream]")) follow(panel);

document.getElementById("log-wrap")?.addEventListener("change", (event) => {
  document.querySelector(".log").classList.toggle("long", !event.target.checked);
});
document.getElementById("log-download")?.addEventListener("click", () => {
  const shown = [...document.querySelectorAll(".log-line:not([hidden])")].map((line) =>
    [line.querySelector("time")?.dateTime, ...[...line.childNodes].filter((node) => node.nodeName !== "TIME").map((node) => node.textContent)]
      .filter(Boolean).join(" "));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([shown.join("\n") + "\n"], { type: "text/plain" }));
  link.download = `${document.title.split(" ·")[0].replaceAll(" ", "-").toLowerCase()}.log`;
  link.click();
  URL.revokeObjectURL(link.href);
});

// ---- login ----------------------------------------------------------------------------------------------------
// Link previews run no scripts, and do not show the page to anybody.
const login = document.querySelector("form[data-submit-when-seen]");
if (login && document.visibilityState === "visible") login.requestSubmit();
