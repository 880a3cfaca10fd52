// Before anything is drawn: the colours that were chosen here, where they differ from the system's.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("penstock-colours");
  } catch {
    // A browser that keeps nothing goes by the system.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
