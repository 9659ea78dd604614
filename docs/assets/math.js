// Equations arrive as TeX between \( \) or \[ \] in elements of this class; without scripts they stay readable TeX.
// KaTeX is loaded only where there is one, and an equation is set when it comes near the window.
(() => {
  const equations = document.querySelectorAll(".arithmatex");
  if (!equations.length) return;
  const here = document.currentScript.src;
  const load = (tag, properties) =>
    new Promise((onload, onerror) => document.head.append(Object.assign(document.createElement(tag), { onload, onerror, ...properties })));
  const file = (name) => new URL(`katex/${name}`, here).href;
  const set = (element) => {
    renderMathInElement(element, {
      delimiters: [
        { left: "\\[", right: "\\]", display: true },
        { left: "\\(", right: "\\)", display: false },
      ],
      throwOnError: false,
    });
    // One that is wider than the page is scrolled, also by keyboard.
    if (element.scrollWidth > element.clientWidth) element.tabIndex = 0;
  };
  const near = new IntersectionObserver(
    (seen) => {
      for (const { isIntersecting, target } of seen) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        set(target);
      }
    },
    { rootMargin: "200px" },
  );
  addEventListener("beforeprint", () => equations.forEach((element) => element.querySelector(".katex") ?? set(element)));
  load("link", { rel: "stylesheet", href: file("katex.min.css") });
  load("script", { src: file("katex.min.js") })
    .then(() => load("script", { src: file("auto-render.min.js") }))
    .then(() => equations.forEach((element) => near.observe(element)));
})();
