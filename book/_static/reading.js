// Small screens and keyboards: wide figures stay legible, and what scrolls can be scrolled by key.
(() => {
  const WIDE = 800; // pixels, the natural width from which a figure has several panels

  function mark(image) {
    image.classList.toggle("wide", image.naturalWidth > WIDE);
    reach();
  }

  function reach() {
    for (const part of document.querySelectorAll(".bd-content :is(figure, .cell_output .output, pre)")) {
      const scrolls = part.scrollWidth > part.clientWidth + 1;
      if (scrolls) part.tabIndex = 0;
      else if (part.matches("figure, .output")) part.removeAttribute("tabindex");
    }
  }

  addEventListener("DOMContentLoaded", () => {
    for (const image of document.querySelectorAll(".bd-content :is(figure, .cell_output) img")) {
      if (image.complete) mark(image);
      else image.addEventListener("load", () => mark(image));
    }
    // Entries of the bibliography have a role of their own, which a list may not hold.
    for (const list of document.querySelectorAll(".citation-list")) list.removeAttribute("role");
    reach();
    addEventListener("resize", reach);
  });
})();
