for (const box of document.querySelectorAll(".canvas[data-spec]")) {
  const spec = JSON.parse(document.getElementById(box.dataset.spec).textContent);
  const stage = document.createElement("div");
  vegaEmbed(stage, spec, { renderer: "svg", actions: false, tooltip: { theme: "custom" } })
    .then(() => box.replaceChildren(stage))
    .catch((error) => console.error(error));
}
const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.hash.slice(1), a]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    links.forEach((a) => a.removeAttribute("aria-current"));
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-10% 0px -80% 0px" });
document.querySelectorAll("section[id]").forEach((section) => seen.observe(section));
