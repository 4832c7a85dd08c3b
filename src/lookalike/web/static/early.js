// @ts-check
// Run before the first paint: what is only for browsers without a script never shows, and nothing jumps later.
{
  const root = document.documentElement;
  root.classList.add("scripted");
  try {
    const rows = Number(localStorage.getItem("rows"));
    if (rows >= 100 && rows <= 340) root.style.setProperty("--row", `${rows}px`);
    if (localStorage.getItem("captions") === "on") root.classList.add("captions");
  } catch {}
}
