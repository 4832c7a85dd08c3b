// @ts-check
// Run before the first paint, so that what is only for browsers without a script never shows.
document.documentElement.classList.add("scripted");
