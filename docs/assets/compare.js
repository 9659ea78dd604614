// Two to four models side by side, from the address: ?entries=resnet,mlp. The first is what the others are compared with.
// The page holds the tasks, the models' names and quantiles of Student's t. For the models that are compared, the values by
// seed are fetched, and by how much test points widen the intervals. Nothing else of statistics is here: a mean, a standard
// deviation, the quantile, and the root of a sum of squares.
(() => {
  const place = document.getElementById("le-compare");
  if (!place) return;
  const { level, quantiles, tracks, models, stamp } = JSON.parse(document.getElementById("le-compare-data").textContent);
  const MOST = 4;
  const THIN = "\u202f";
  const known = new Map(models.map((model, place) => [model.name, { ...model, place }]));
  const asked = new URLSearchParams(location.search);
  let chosen = [...new Set((asked.get("entries") ?? "").split(",").filter(Boolean))].slice(0, MOST);
  let apartOpen = false;
  let everything = asked.get("values") === "all";
  const fetched = new Map();

  // A name that may be broken after its parts.
  const breakable = (name) => name.split(/(?<=[_/])(?=.)|(?=@)/).flatMap((part) => [document.createElement("wbr"), part]);

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // --- numbers, as lebench.board.statistics and lebench.site.numbers have them ---

  const estimate = (values) => {
    const n = values.length;
    const mean = values[0] + values.reduce((sum, value) => sum + (value - values[0]), 0) / n;
    if (n < 2) return { mean, half: null, n };
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const t = quantiles[Math.min(n - 1, quantiles.length) - 1];
    return { mean, half: t * Math.sqrt(squares / (n - 1) / n), n };
  };

  const difference = (a, b) => {
    const common = Object.keys(a).filter((seed) => seed in b);
    return common.length ? estimate(common.map((seed) => a[seed] - b[seed])) : null;
  };

  // Half widths over seeds and over test points add by their squares.
  const widened = (found, half) => (found && half && found.half !== null ? { ...found, half: Math.hypot(found.half, half) } : found);

  const scale = (value, bounded, half) => {
    if (bounded) return [0, 3];
    const size = Math.max(Math.abs(value), half);
    const exponent = size ? Math.floor(Math.log10(Number(size.toPrecision(3)))) : 0;
    return exponent >= -3 && exponent < 4 ? [0, Math.max(2 - exponent, 0)] : [exponent, 2];
  };
  const fixed = (value, [exponent, decimals]) => {
    let text = (value / 10 ** exponent).toFixed(decimals);
    if (Number(text) === 0) text = text.replace("-", "");
    const shown = make("span", {}, text.replace("-", "\u2212"));
    if (exponent) shown.append("×10", [...String(exponent)].map((digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]).join(""));
    return shown;
  };
  const withHalf = ({ mean, half }, bounded, signed = false) => {
    const [exponent, decimals] = scale(mean, bounded, half ?? 0);
    const cell = [signed && mean > 0 ? "+" : "", fixed(mean, [exponent, decimals])];
    if (half !== null) {
      const unit = 10 ** (exponent - decimals);
      const less = half > 0 && half < unit / 2;
      cell.push(make("span", { className: "le-half" }, `±${THIN}${less ? `<${THIN}` : ""}`, fixed(less ? unit : half, [exponent, decimals])));
    }
    return cell;
  };

  const verdict = (found, direction) => {
    if (!found || found.half === null || Math.abs(found.mean) <= found.half || direction === "none") return "";
    return found.mean > 0 === (direction === "higher") ? "better" : "worse";
  };

  // --- what is fetched, and the address ---

  const values = async (name) => {
    if (!fetched.has(name)) {
      const answer = await fetch(`../data/${encodeURIComponent(name)}.json?${stamp}`);
      if (!answer.ok) throw new Error(`${answer.status} ${answer.url}`);
      fetched.set(name, await answer.json());
    }
    return fetched.get(name);
  };

  const write = () => {
    const address = new URL(location.href);
    chosen.length ? address.searchParams.set("entries", chosen.join(",")) : address.searchParams.delete("entries");
    everything ? address.searchParams.set("values", "all") : address.searchParams.delete("values");
    address.search = address.search.replace(/%2C/g, ",");
    if (address.href !== location.href) history.pushState(history.state, "", address);
  };

  // --- choosing ---

  const status = make("p", { className: "le-status" });
  status.setAttribute("role", "status");
  const chips = make("ul", { className: "le-chips" });
  const input = make("input", { type: "search", autocomplete: "off" });
  input.setAttribute("list", "le-compare-models");
  const list = make("datalist", { id: "le-compare-models" });
  list.append(...models.map((model) => new Option(model.label, model.name)));
  const all = make("input", { type: "checkbox", checked: everything });
  const tools = make(
    "div",
    { className: "le-tools" },
    make("label", { className: "le-field" }, make("span", { textContent: "Add a model" }), input),
    list,
    make("label", { className: "le-field" }, all, make("span", { textContent: "all values, not only those that rank" })),
    status,
  );
  const result = make("div");
  place.replaceChildren(tools, chips, result);

  const add = () => {
    const name = input.value.trim();
    if (!known.has(name)) return;
    input.value = "";
    if (!chosen.includes(name) && chosen.length < MOST) chosen.push(name);
    show();
  };
  input.addEventListener("change", add);
  input.addEventListener("input", (event) => {
    // A choice from the list comes as one input.
    if (event.inputType === "insertReplacementText" || !event.inputType) add();
  });
  all.addEventListener("change", () => {
    everything = all.checked;
    show();
  });

  const chip = (name, first) => {
    const action = (text, label, act) => {
      const button = make("button", { type: "button", className: "le-tool", textContent: text });
      button.setAttribute("aria-label", label);
      button.addEventListener("click", () => {
        act();
        show();
      });
      return button;
    };
    const item = make("li", {}, make("a", { href: `../entries/${name}/`, textContent: known.get(name)?.label ?? name }));
    if (first) item.append(make("span", { className: "le-control", textContent: "reference" }));
    else item.append(action("as reference", `Compare the others with ${name}`, () => (chosen = [name, ...chosen.filter((each) => each !== name)])));
    item.append(action("×", `Leave out ${name}`, () => (chosen = chosen.filter((each) => each !== name))));
    return item;
  };

  // --- the table ---

  const drawn = (found, direction) => {
    // Zero in the middle; as wide as the interval needs.
    const most = Math.max(Math.abs(found.mean) + (found.half ?? 0), Number.MIN_VALUE);
    const at = (value) => 50 + (46 * value) / most;
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", `le-difference le-${verdict(found, direction) || "same"}`);
    svg.setAttribute("viewBox", "0 0 100 14");
    svg.setAttribute("aria-hidden", "true");
    const part = (tag, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      svg.append(element);
    };
    part("line", { class: "le-grid", x1: 50, x2: 50, y1: 0, y2: 14 });
    if (found.half !== null) part("line", { class: "le-bar", x1: at(found.mean - found.half), x2: at(found.mean + found.half), y1: 7, y2: 7 });
    part("circle", { class: "le-dot", cx: at(found.mean), cy: 7, r: 3.5 });
    return svg;
  };

  // What the intervals of a row resample, in words.
  const resampled = (scores, points, value) => {
    if (!value.points) return "seeds";
    const assumed = chosen.filter((_, k) => scores[k] && !points[k].known).map((name) => known.get(name).label);
    const lacking = assumed.length ? `; ${assumed.join(", ")}: assumed to move as the other models do` : "";
    return `seeds and ${value.points.toLocaleString("en")} test points${lacking}`;
  };

  const line = (task, value, data, counts) => {
    const scores = data.map((each) => each.scores[task.name]?.[value.name]);
    if (scores.every((score) => !score)) return null;
    const cell = (name, className, ...children) => {
      const made = make("td", { className }, ...children);
      made.dataset.label = name;
      return made;
    };
    const points = data.map((each) => each.points[task.name]?.[value.name]);
    const row = make("tr");
    row.dataset.common = scores.slice(1).some((score) => score && scores[0] && difference(scores[0], score));
    const head = make(
      "th",
      { scope: "row" },
      make("a", { href: `../tasks/${task.slug}/` }, ...breakable(task.name)),
      make("span", { className: "le-metric" }, ...breakable(value.name), ` ${{ higher: "↑", lower: "↓", none: "" }[value.direction]}`),
      make("span", { className: "le-resampled", textContent: resampled(scores, points, value) }),
    );
    row.append(head);
    scores.forEach((score, k) =>
      row.append(
        score
          ? cell(label(chosen[k]), "", ...withHalf({ mean: estimate(Object.values(score)).mean, half: data[k].halves[task.name][value.name] }, value.bounded))
          : cell(label(chosen[k]), "le-missing", "—"),
      ),
    );
    scores.slice(1).forEach((score, k) => {
      const found = scores[0] && score ? widened(difference(scores[0], score), points[0]?.others[known.get(chosen[k + 1]).place]) : null;
      if (!found) {
        if (value.name === task.primary) counts[k].missing += 1;
        row.append(cell(minus(k), "le-missing", "—"));
        return;
      }
      const word = verdict(found, value.direction);
      if (value.name === task.primary) counts[k][word || "same"] += 1;
      const told = make("span", { className: "le-told", textContent: word || (value.direction === "none" ? "" : "not told apart") });
      const number = make("span", { className: "le-number" }, ...withHalf(found, value.bounded, true));
      row.append(cell(minus(k), word ? `le-${word}` : "", make("div", { className: "le-told-apart" }, number, drawn(found, value.direction), told)));
    });
    return row;
  };

  const label = (name) => known.get(name).label;
  const minus = (k) => `${label(chosen[0])} − ${label(chosen[k + 1])}`;

  const table = (data) => {
    const counts = chosen.slice(1).map(() => ({ better: 0, worse: 0, same: 0, missing: 0 }));
    const heads = [
      make("th", { scope: "col", textContent: "Task" }),
      ...chosen.map((name) => make("th", { scope: "col", textContent: label(name) })),
      ...chosen.slice(1).map((_, k) => make("th", { scope: "col", textContent: minus(k) })),
    ];
    const rows = tracks.map((track) =>
      track.tasks.flatMap((task) =>
        task.values
          .filter((value) => everything || value.name === task.primary)
          .map((value) => line(task, value, data, counts))
          .filter(Boolean),
      ),
    );
    const bodies = (common) =>
      tracks.flatMap((track, k) => {
        const own = rows[k].filter((row) => row.dataset.common === String(common));
        const group = make("tr", { className: "le-group" }, make("th", { scope: "rowgroup", colSpan: heads.length, textContent: track.name }));
        return own.length ? [make("tbody", {}, group, ...own)] : [];
      });
    const cost = data.map((each) => Object.values(each.cpu_s));
    const spent = make("tr", {}, make("th", { scope: "row", textContent: "CPU time of a task and seed, median over tasks" }));
    const cell = (name, textContent) => {
      const made = make("td", { textContent });
      made.dataset.label = name;
      spent.append(made);
    };
    cost.forEach((each, k) => cell(label(chosen[k]), each.length ? seconds(median(each)) : "—"));
    chosen.slice(1).forEach((_, k) => {
      const both = Object.keys(data[0].cpu_s).filter((task) => task in data[k + 1].cpu_s && data[k + 1].cpu_s[task] > 0);
      const ratio = both.length ? median(both.map((task) => data[0].cpu_s[task] / data[k + 1].cpu_s[task])) : null;
      cell(`${label(chosen[0])} : ${label(chosen[k + 1])}`, ratio === null ? "—" : `${ratio.toPrecision(2)} times, on the same tasks`);
    });
    const framed = (name, ...parts) => {
      const whole = make("table", { className: "le-board le-comparison" }, make("thead", {}, make("tr", {}, ...heads.map((head) => head.cloneNode(true)))), ...parts);
      // As blocks, on a phone, the parts of a table lose what they mean unless it is said.
      const roles = [["tbody", "rowgroup"], ["tr", "row"], ["td", "cell"], ["tbody th", "rowheader"], ["thead th", "columnheader"]];
      whole.setAttribute("role", "table");
      for (const [selector, role] of roles) whole.querySelectorAll(selector).forEach((element) => element.setAttribute("role", role));
      const frame = make("div", { className: "le-scroll le-cards", tabIndex: 0 }, whole);
      frame.setAttribute("role", "region");
      frame.setAttribute("aria-label", name);
      return frame;
    };
    const apart = bodies(false);
    const result = [framed("Comparison", ...bodies(true), make("tbody", {}, spent))];
    if (apart.length) {
      const count = apart.reduce((sum, body) => sum + body.rows.length - 1, 0);
      const folded = make("details", { className: "le-apart", open: apartOpen }, make("summary", { textContent: `Scores without one to compare with: ${count}` }));
      folded.append(framed("Scores without one to compare with", ...apart));
      folded.addEventListener("toggle", () => (apartOpen = folded.open));
      result.push(folded);
    }
    const sentences = counts.map(
      (count, k) =>
        `Against ${label(chosen[k + 1])}, ${label(chosen[0])} is better on ${tasks(count.better)} and worse on ${count.worse}; ` +
        `${count.same} cannot be told apart${count.missing ? `, and on ${count.missing} only one of them has a score` : ""}.`,
    );
    return [make("p", { className: "le-sentence", textContent: sentences.join(" ") }), ...result];
  };

  const tasks = (count) => `${count} ${count === 1 ? "task" : "tasks"}`;

  const median = (numbers) => {
    const sorted = [...numbers].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  };
  const seconds = (value) => (value < 0.9995 ? `${Math.round(1000 * value)} ms` : value < 99.95 ? `${value.toFixed(1)} s` : `${Math.round(value / 60)} min`);

  const show = async () => {
    const unknown = chosen.filter((name) => !known.has(name));
    chosen = chosen.filter((name) => known.has(name));
    write();
    input.disabled = chosen.length >= MOST;
    chips.replaceChildren(...chosen.map((name, k) => chip(name, k === 0)));
    const said = unknown.length ? `There is no model ${unknown.join(", ")}. ` : "";
    if (chosen.length < 2) {
      result.replaceChildren();
      status.textContent = `${said}${chosen.length ? "One more model makes a comparison." : "Choose two to four models."}`;
      return;
    }
    try {
      const now = chosen.join();
      const data = await Promise.all(chosen.map(values));
      if (now !== chosen.join()) return;
      result.replaceChildren(...table(data));
      status.textContent = `${said}Paired over the seeds that both have, ${Math.round(100 * level)}% intervals; under each task stands what they resample.`;
    } catch (error) {
      status.textContent = `The values cannot be loaded: ${error.message}`;
    }
  };
  show();
  addEventListener("popstate", () => location.reload());
})();
