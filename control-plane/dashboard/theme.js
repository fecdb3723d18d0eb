// Applies the saved theme before the page is first drawn.
"use strict";
try {
  const chosen = localStorage.getItem("headroom.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the system's theme applies.
}
