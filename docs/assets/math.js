// Equations arrive as TeX between \( \) or \[ \] in elements of this class; without scripts they stay readable TeX.
document.querySelectorAll(".arithmatex").forEach((element) =>
  renderMathInElement(element, {
    delimiters: [
      { left: "\\[", right: "\\]", display: true },
      { left: "\\(", right: "\\)", display: false },
    ],
    throwOnError: false,
  }),
);
