// Equations arrive as TeX between \( \) or \[ \] in elements of this class; without scripts they stay readable TeX.
document.querySelectorAll(".arithmatex").forEach((element) => {
  renderMathInElement(element, {
    delimiters: [
      { left: "\\[", right: "\\]", display: true },
      { left: "\\(", right: "\\)", display: false },
    ],
    throwOnError: false,
  });
  // One that is wider than the page is scrolled, also by keyboard.
  if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
});
