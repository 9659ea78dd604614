// Pictures are Vega-Lite specifications, drawn when they come near the window and again when the colour scheme changes.
// Only then are the scripts of docs/assets/vega loaded. Without scripts the caption says what a picture shows.
(() => {
  const figures = [...document.querySelectorAll(".le-picture")];
  if (!figures.length) return;
  const here = document.currentScript?.src;
  const drawn = new Set();
  let ready;

  const load = (name) =>
    new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = new URL(`vega/${name}.min.js`, here).href;
      script.onload = done;
      script.onerror = () => failed(new Error(`${script.src} cannot be loaded`));
      document.head.append(script);
    });
  const scripts = () =>
    (ready ??= window.vegaEmbed
      ? Promise.resolve()
      : load("vega").then(() => load("vega-lite")).then(() => load("vega-embed")));

  const specification = async (figure) => {
    const inside = figure.querySelector("script[type='application/json']");
    if (inside) return JSON.parse(inside.textContent);
    const answer = await fetch(figure.dataset.spec);
    if (!answer.ok) throw new Error(`${answer.status} ${answer.url}`);
    return answer.json();
  };

  const theme = (figure) => {
    const style = getComputedStyle(figure);
    const value = (name) => style.getPropertyValue(name).trim();
    const [ink, muted, rule] = ["--le-picture-ink", "--le-picture-muted", "--le-picture-rule"].map(value);
    const palette = Array.from({ length: 10 }, (_, k) => value(`--le-series-${k}`));
    const text = { labelColor: muted, titleColor: muted, labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal" };
    return {
      background: "transparent",
      font: style.fontFamily,
      view: { stroke: null },
      axis: { ...text, labelSeparation: 4, domainColor: rule, tickColor: rule, gridColor: rule },
      legend: text,
      title: { color: ink, fontSize: 12, anchor: "start", fontWeight: 600 },
      mark: { color: palette[0] },
      rule: { color: ink },
      range: { category: palette },
    };
  };

  // Each panel is drawn on its own, so that panels stand below each other where the page is narrow.
  const draw = async (figure) => {
    const [specified] = await Promise.all([(figure.specified ??= specification(figure)), scripts()]);
    const { concat, columns, title, description, usermeta, ...shared } = specified;
    const config = theme(figure);
    // What the colours mean stands below the panels once, not below each.
    const named = figure.querySelector(".le-series");
    const dark = document.body.dataset.mdColorScheme === "slate";
    const place = figure.querySelector(".le-panels");
    figure.views?.forEach((view) => view.finalize());
    place.replaceChildren();
    figure.views = await Promise.all(
      concat.map((panel) => {
        const target = place.appendChild(document.createElement("div"));
        const square = panel.width === panel.height;
        target.className = square ? "le-panel le-square" : "le-panel";
        return window.vegaEmbed(
          target,
          { ...shared, ...panel, description, ...(square ? {} : { width: "container" }) },
          {
            actions: false,
            // Panels with a height of their own are meant: no warning for each.
            logLevel: window.vega.Error,
            renderer: usermeta?.embedOptions?.renderer ?? "svg",
            tooltip: { theme: dark ? "dark" : "light" },
            config: named ? { ...config, legend: { ...config.legend, disable: true } } : config,
          },
        );
      }),
    );
    figure.dataset.drawn = "yes";
  };
  // One after the other: a scheme that changes while a figure is drawn is not lost.
  const redraw = (figure) =>
    (figure.turn = (figure.turn ?? Promise.resolve()).then(() => draw(figure)).catch((error) => {
      // From a disk no file can be fetched: then what was drawn for readers without scripts is shown.
      const still = location.protocol === "file:" && figure.querySelector("noscript");
      figure.dataset.drawn = still ? "still" : "no";
      if (still) figure.querySelector(".le-panels").innerHTML = still.textContent;
      else console.error(error);
    }));

  const near = new IntersectionObserver(
    (entries) =>
      entries
        .filter((entry) => entry.isIntersecting)
        .forEach(({ target }) => {
          near.unobserve(target);
          drawn.add(target);
          redraw(target);
        }),
    { rootMargin: "400px" },
  );
  figures.forEach((figure) => near.observe(figure));

  const changed = () => drawn.forEach(redraw);
  new MutationObserver(changed).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
})();
