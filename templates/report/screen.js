// The page on a screen: its looks, its contents, its tables and its charts. Nothing is fetched and nothing computed
// but the order of rows; without this script everything is there to read.
"use strict";

const DARK = matchMedia("(prefers-color-scheme: dark)");
const NARROW = matchMedia("(max-width: 62rem)");
const REACH = 24; // px between the pointer and the point it means

const remembered = {
  get() { try { return localStorage.getItem("spinescore-theme"); } catch { return null; } },
  set(theme) { try { localStorage.setItem("spinescore-theme", theme); } catch { /* kept for this page alone */ } },
};
const chosen = remembered.get();
if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;

function startTheme() {
  const button = document.querySelector("button.theme");
  const isDark = () => (document.documentElement.dataset.theme ?? (DARK.matches ? "dark" : "light")) === "dark";
  const name = () => { button.textContent = isDark() ? button.dataset.light : button.dataset.dark; };
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    remembered.set(theme);
    name();
  });
  DARK.addEventListener("change", name);
  name();
  button.hidden = false;
}

function startContents() {
  const box = document.querySelector(".contents details");
  const links = [...box.querySelectorAll("a")];
  const sections = links.map((link) => document.getElementById(link.hash.slice(1)));
  const current = box.querySelector(".current");
  const fold = () => { box.open = !NARROW.matches; };
  const mark = () => {
    const edge = innerHeight * 0.25;
    let at = sections.findLastIndex((section) => section.getBoundingClientRect().top <= edge);
    if (scrollY + innerHeight >= document.documentElement.scrollHeight - 2) at = sections.length - 1;
    links.forEach((link, i) => (i === at ? link.setAttribute("aria-current", "location") : link.removeAttribute("aria-current")));
    current.textContent = at < 0 ? "" : links[at].textContent;
    if (at >= 0 && !NARROW.matches) box.parentElement.scrollTop += overflowOf(links[at], box.parentElement);
  };
  box.addEventListener("click", (event) => { if (event.target.closest("a") && NARROW.matches) box.open = false; });
  NARROW.addEventListener("change", fold);
  let waiting = false;
  const later = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  };
  addEventListener("scroll", later, { passive: true });
  addEventListener("resize", later);
  fold();
  mark();
}

function overflowOf(link, pane) {
  const inner = link.getBoundingClientRect();
  const outer = pane.getBoundingClientRect();
  if (inner.bottom > outer.bottom) return inner.bottom - outer.bottom + 16;
  return inner.top < outer.top ? inner.top - outer.top - 16 : 0;
}

// "1.56 (1.20–2.03)" sorts by 1.56, "<0.001" before 0.001, "12 (3.4%)" by 12; nothing and "–" come last.
function keyOf(cell) {
  const own = cell.cloneNode(true);
  own.querySelectorAll("small, sup").forEach((extra) => extra.remove());
  const text = own.textContent.trim();
  const found = /^\s*([<>≤≥]?)\s*([−-]?)\s*(\d[\d,]*\.?\d*|\.\d+)/.exec(text);
  if (!found) return { text, number: null, absent: text === "" || text === "–" };
  const size = Number(found[3].replaceAll(",", "")) * (found[2] ? -1 : 1);
  const nudge = { "<": -1e-9, ">": 1e-9 }[found[1]] ?? 0;
  return { text, number: size + nudge, absent: false };
}

function compare(a, b, numeric) {
  if (numeric && a.number !== null && b.number !== null) return a.number - b.number;
  return a.text.localeCompare(b.text, document.documentElement.lang, { numeric: true });
}

function sortRows(table, column, direction) {
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
    rows.forEach((row, i) => { row.dataset.place ??= String(i); });
    const keyed = rows.map((row) => ({ row, key: keyOf(row.cells[column]) }));
    const told = keyed.filter(({ key }) => !key.absent);
    const numeric = told.every(({ key }) => key.number !== null);
    keyed.sort((a, b) => {
      if (direction === "none") return a.row.dataset.place - b.row.dataset.place;
      if (a.key.absent !== b.key.absent) return Number(a.key.absent) - Number(b.key.absent);
      return compare(a.key, b.key, numeric) * (direction === "descending" ? -1 : 1);
    });
    body.append(...keyed.map(({ row }) => row));
  }
}

const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

function startSorting(table) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const direction = NEXT[head.getAttribute("aria-sort") ?? "none"];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (direction !== "none") head.setAttribute("aria-sort", direction);
      sortRows(table, column, direction);
    });
  });
}

// What needs no scrolling is no stop for the keyboard.
function startScrolling() {
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.closest("figure.chart:has(.readings)") && target.classList.contains("canvas")) continue;
      if (target.scrollWidth > target.clientWidth + 1) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  document.querySelectorAll(".scroll").forEach((box) => watch.observe(box));
}

function startChart(figure) {
  const canvas = figure.querySelector(".canvas");
  const svg = canvas.querySelector("svg");
  const table = figure.querySelector(".readings table");
  if (!table) return;
  const hint = document.querySelector(".hint");
  const heard = document.querySelector("[aria-live]");
  const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  ring.setAttribute("class", "ring");
  ring.setAttribute("r", "6");
  let points = null;
  let at = -1;

  const read = () => {
    if (points) return;
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    points = [...table.tBodies[0].rows].map((row) => ({
      x: Number(row.dataset.x),
      y: Number(row.dataset.y),
      items: [...row.cells].map((cell, i) => [names[i], cell.textContent.trim()]).filter(([, value]) => value && value !== "–"),
    }));
  };
  const place = (point) => {
    const box = svg.getBoundingClientRect();
    const scale = box.width / svg.viewBox.baseVal.width;
    return { x: box.left + point.x * scale, y: box.top + point.y * scale };
  };
  const show = (index) => {
    at = index;
    const point = points[index];
    ring.setAttribute("cx", point.x);
    ring.setAttribute("cy", point.y);
    svg.append(ring);
    hint.replaceChildren(...point.items.map(([name, value]) => {
      const line = document.createElement("div");
      const label = document.createElement("span");
      label.textContent = name;
      line.append(label, ` ${value}`);
      return line;
    }));
    hint.hidden = false;
    const spot = place(point);
    const { width, height } = hint.getBoundingClientRect();
    const left = spot.x + 14 + width > innerWidth ? spot.x - 14 - width : spot.x + 14;
    hint.style.left = `${Math.max(4, left)}px`;
    hint.style.top = `${Math.min(Math.max(4, spot.y - height / 2), innerHeight - height - 4)}px`;
  };
  const hide = () => {
    hint.hidden = true;
    ring.remove();
    at = -1;
  };
  canvas.addEventListener("pointermove", (event) => {
    read();
    const distances = points.map((point) => {
      const spot = place(point);
      return Math.hypot(spot.x - event.clientX, spot.y - event.clientY);
    });
    const nearest = distances.indexOf(Math.min(...distances));
    if (distances[nearest] > REACH) hide();
    else if (nearest !== at || hint.hidden) show(nearest);
  });
  canvas.addEventListener("pointerleave", hide);
  canvas.addEventListener("blur", hide);
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") hide();
    const ends = { Home: 0, End: -1 }[event.key];
    if (step === undefined && ends === undefined) return;
    event.preventDefault();
    read();
    const next = ends === undefined ? (at < 0 && step < 0 ? -1 : at + step) : ends;
    show((next + points.length) % points.length);
    heard.textContent = points[at].items.map(([name, value]) => `${name} ${value}`).join(", ");
  });
  addEventListener("scroll", () => { if (!hint.hidden && at >= 0) hide(); }, { passive: true });
}

document.addEventListener("DOMContentLoaded", () => {
  startTheme();
  startContents();
  document.querySelectorAll("figure.chart").forEach(startChart);
  document.querySelectorAll("table[data-sortable]").forEach(startSorting);
  startScrolling();
});
