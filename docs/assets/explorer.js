// Whom a step on a point of the torus moves: all drawings follow the point that is chosen in one of them.
(() => {
  const { order, clouds } = JSON.parse(document.getElementById("le-explorer-data").textContent);
  const drawings = [...document.querySelectorAll(".le-explorer svg")];
  const kind = document.getElementById("le-kind");
  let chosen = Number(new URLSearchParams(location.search).get("point")) || 0;
  if (!order.includes(chosen)) chosen = 0;

  const show = () => {
    for (const drawing of drawings) {
      const moved = clouds[drawing.dataset.entry][kind.value][chosen];
      [...drawing.children].forEach((circle, k) => {
        const size = Math.min(Math.abs(moved[k]) / 100, 1);
        circle.setAttribute("r", (2 + 6 * size).toFixed(1));
        circle.setAttribute("fill-opacity", (0.12 + 0.88 * size).toFixed(2));
        circle.setAttribute("class", (k === chosen ? "le-chosen" : "") + (moved[k] < 0 ? " le-against" : ""));
      });
      const others = moved.filter((_, k) => k !== chosen);
      const mean = others.reduce((sum, value) => sum + value, 0) / others.length / 100;
      drawing.nextElementSibling.textContent = `Others move by ${mean.toFixed(2)} in the mean, ${(Math.max(...others) / 100).toFixed(2)} at most.`;
    }
  };
  const choose = (point) => {
    chosen = point;
    history.replaceState(history.state, "", `?point=${point}`);
    show();
  };
  for (const drawing of drawings) {
    drawing.addEventListener("click", (event) => {
      const box = drawing.getBoundingClientRect();
      const distance = (circle) =>
        Math.hypot(box.x + (circle.cx.baseVal.value * box.width) / drawing.viewBox.baseVal.width - event.clientX, box.y + (circle.cy.baseVal.value * box.height) / drawing.viewBox.baseVal.height - event.clientY);
      const circles = [...drawing.children];
      choose(circles.indexOf(circles.reduce((a, b) => (distance(b) < distance(a) ? b : a))));
    });
    drawing.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      choose(order[(order.indexOf(chosen) + step + order.length) % order.length]);
    });
  }
  kind.addEventListener("change", show);
  document.querySelector(".le-explorer-tools").hidden = false;
  show();
})();
