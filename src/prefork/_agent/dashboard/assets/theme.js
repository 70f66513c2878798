// The theme: that of the system, or the one that was chosen here. Runs before the first paint, so that nothing flashes.
"use strict";
{
  const next = { auto: "dark", dark: "light", light: "auto" };
  const stored = () => {
    try {
      return localStorage.getItem("theme") ?? "auto";
    } catch {
      return "auto"; // Storage is turned off: the system's theme, then.
    }
  };
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${theme}`;
  };
  show(stored());
  document.addEventListener("DOMContentLoaded", () => {
    show(stored());
    document.getElementById("theme").addEventListener("click", () => {
      const theme = next[document.documentElement.dataset.theme] ?? "auto";
      try {
        localStorage.setItem("theme", theme);
      } catch {
        // It holds until the page is left.
      }
      show(theme);
    });
  });
}
