// What pages do beyond what they are without scripts: colours, live parts that rest while nobody looks, charts, files.
"use strict";

// Colours: as the system, light, dark.
(() => {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const order = ["", "light", "dark"];
  const told = { "": "as the system", light: "light", dark: "dark" };
  const tell = () => {
    const now = root.dataset.theme || "";
    button.setAttribute("aria-label", `Colours: ${told[now]}`);
    button.title = `Colours: ${told[now]}`;
  };
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(root.dataset.theme || "") + 1) % order.length];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    try {
      if (next) localStorage.setItem("penstock-colours", next);
      else localStorage.removeItem("penstock-colours");
    } catch {
      // It lasts as long as the page, then.
    }
    tell();
    drawAll();
  });
  tell();
})();

// Live parts ask again only while the page is seen, nothing in them is being selected, and the server answers.
document.addEventListener("htmx:beforeRequest", (event) => {
  const isLive = event.target.matches?.("#live, #run");
  if (!isLive) return;
  const selected = document.getSelection();
  const isSelecting = selected && !selected.isCollapsed && event.target.contains(selected.anchorNode);
  if (document.hidden || isSelecting) event.preventDefault();
});
document.addEventListener("visibilitychange", () => {
  const live = document.querySelector("#live, #run");
  if (!document.hidden && live) htmx.trigger(live, "refresh");
});

// Charts: stacked bars over time, redrawn when the width or the colours change.
const charts = new Map();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function dollars(value) {
  const size = Math.abs(value);
  if (size === 0) return "$0";
  if (size >= 1) return `$${value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  return `$${Number(value.toPrecision(3)).toFixed(9).replace(/0+$/, "").replace(/\.$/, ".00")}`;
}

function draw(box) {
  charts.get(box)?.destroy();
  const given = JSON.parse(box.dataset.chart);
  const write = given.unit === "usd" ? dollars : (value) => value.toLocaleString("en-US");
  const scale = (value, by) => {
    if (given.unit !== "usd") return Number.isInteger(value) ? write(value) : "";
    return `$${value.toFixed(by >= 1 ? 0 : Math.max(2, Math.ceil(-Math.log10(by) - 1e-9)))}`;
  };
  const length = given.times.at(-1) - given.times[0];
  const day = (seconds) => {
    const at = new Date(seconds * 1e3);
    const date = `${at.getUTCDate()} ${at.toLocaleString("en-GB", { month: "short", timeZone: "UTC" })}`;
    const hour = `${String(at.getUTCHours()).padStart(2, "0")}:00`;
    if (length <= 2 * 86_400) return hour === "00:00" ? date : hour;
    return hour === "00:00" ? date : "";
  };
  const readout = box.parentElement.querySelector(".readout");
  const count = given.times.length;
  const step = count > 1 ? given.times[1] - given.times[0] : 3600;
  // Each series stands on those before it: the tallest is drawn first, the others over it.
  const sums = [];
  let below = new Array(count).fill(0);
  for (const each of given.series) {
    below = each.values.map((value, place) => value + below[place]);
    sums.push(below);
  }
  const top = Math.max(...(sums.at(-1) ?? [0]), 0);
  const ink = colour("--soft");
  const line = colour("--line");
  const axis = { stroke: ink, font: "12px system-ui, sans-serif", grid: { stroke: line, width: 1 }, ticks: { show: false } };
  const bars = uPlot.paths.bars({ size: [0.82, 48, 1], align: 0, radius: 0.12 });
  const plot = new uPlot(
    {
      width: Math.max(box.clientWidth, 200),
      height: 240,
      padding: [10, 8, 0, 4],
      legend: { show: false },
      cursor: { points: { show: false }, drag: { x: false, y: false }, y: false },
      scales: {
        x: { time: true, range: () => [given.times[0] - step * 0.6, given.times[count - 1] + step * 0.6] },
        y: { range: () => [0, top > 0 ? top * 1.08 : 1] },
      },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC"),
      axes: [
        { ...axis, grid: { show: false }, space: 68, size: 28, values: (_, ticks) => ticks.map(day) },
        { ...axis, size: 64, space: 40, values: (_, ticks, __, ___, by) => ticks.map((tick) => scale(tick, by)) },
      ],
      series: [
        {},
        ...given.series
          .map((each, place) => ({ fill: colour(`--c${each.colour}`), width: 0, paths: bars, points: { show: false }, place }))
          .reverse(),
      ],
      hooks: {
        setCursor: [
          (self) => {
            const place = self.cursor.idx;
            if (place === null || place === undefined) {
              readout.textContent = "\u00a0";
              return;
            }
            const at = new Date(given.times[place] * 1e3).toISOString();
            const when = step < 86_400 ? `${at.slice(5, 10)} ${at.slice(11, 16)}` : at.slice(0, 10);
            const parts = given.series
              .filter((each) => each.values[place])
              .map((each) => `${each.name} ${write(each.values[place])}`);
            const all = sums.at(-1)[place];
            readout.textContent = `${when}  ·  ${write(all)}${parts.length > 1 ? `  =  ${parts.join("  +  ")}` : parts.length ? `  ·  ${given.series.find((each) => each.values[place]).name}` : ""}`;
          },
        ],
      },
    },
    [given.times, ...sums.slice().reverse()],
    box,
  );
  charts.set(box, plot);
}

function drawAll() {
  if (typeof uPlot === "undefined") return;
  for (const box of document.querySelectorAll("[data-chart]")) draw(box);
}

drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
if (charts.size) {
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    drawAll();
  });
}

// Forms: an example to begin with, a team file from the disk, and only the policies of the chosen team.
document.getElementById("example")?.addEventListener("click", (event) => {
  const field = document.querySelector("textarea[name=body]");
  field.value = event.currentTarget.dataset.text;
  field.focus();
});
for (const field of document.querySelectorAll("input[type=file][data-into]")) {
  field.addEventListener("change", async () => {
    if (field.files.length) document.getElementById(field.dataset.into).value = await field.files[0].text();
  });
}
(() => {
  const team = document.getElementById("team");
  const policy = document.getElementById("policy");
  if (!team || !policy) return;
  const show = () => {
    for (const group of policy.querySelectorAll("optgroup")) {
      group.hidden = group.disabled = group.label !== team.value;
    }
    const chosen = policy.selectedOptions[0];
    if (chosen && chosen.value && !chosen.value.startsWith(`${team.value}/`)) policy.value = "";
  };
  team.addEventListener("change", show);
  show();
})();
