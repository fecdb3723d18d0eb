// The theme chosen before, put on the page before its first paint.
"use strict";
try {
  const chosen = localStorage.getItem("headroom.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the system's choice holds.
}
