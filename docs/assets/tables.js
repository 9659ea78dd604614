// Tables are complete without this script. With it they can be searched, filtered, sorted, narrowed to some columns, saved
// as CSV, compared from and, on a phone, read as cards; what is chosen stands in the address.
//
// What a table says about itself:
//   table[data-le-table="models"]       the name of what its rows are
//     data-facets="family:Family"       attributes of its rows to filter by, with their labels
//     data-fold                         its tools are folded
//     data-own-cards                    the style sheet makes it fit a phone
//     data-compare="compare/"           where chosen rows are compared
//   th[data-col="3"]                    the head of column 3, with
//     data-key="digits-accuracy"        its name in addresses and files
//     data-sort="higher|lower|none|text"  which end is better: the first click brings it to the top
//     data-group="generalization"       columns that are shown and hidden together
//     data-card                         is on a card before it is opened
//   td[data-v="0.98"]                   the number to sort by; a cell without one is blank and stays last
//   td[data-csv="1-3"]                  what is saved, where that is something else
(() => {
  const AT_FIRST = 50;
  const phone = matchMedia("(max-width: 44.9375em)");
  const later = window.requestIdleCallback ?? ((work) => setTimeout(work, 50));
  const noLonger = window.cancelIdleCallback ?? clearTimeout;
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // A shown number as a program reads it: minus signs, powers of ten, half widths, "< 0.001".
  const plain = (text) =>
    text
      .trim()
      .replace(/[±\u202f\s]/g, "")
      .replace(/\u2212/g, "-")
      .replace(/×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)/, (_, power) => `e${[...power].map((digit) => "-0123456789"["⁻⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(digit)]).join("")}`);

  const quoted = (text) => {
    // A spreadsheet would compute what begins so.
    const safe = /^[=+@\t]|^-(?![\d.])/.test(text) ? `'${text}` : text;
    return /[",\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };

  class BoardTable {
    constructor(table, prefix) {
      this.table = table;
      this.prefix = prefix;
      this.noun = table.dataset.leTable;
      this.body = table.tBodies[0];
      this.rows = [...this.body.rows];
      this.original = [...this.rows];
      this.columns = [...table.tHead.querySelectorAll("th[data-col]")]
        .map((th) => ({
          th,
          index: Number(th.dataset.col),
          key: th.dataset.key,
          better: th.dataset.sort ?? "text",
          group: th.dataset.group ?? "",
          label: (th.querySelector("a") ?? th).textContent.trim(),
        }))
        .sort((a, b) => a.index - b.index);
      this.groups = [...table.tHead.querySelectorAll("th[data-group-head]")];
      this.hidden = new Set();
      this.facets = (table.dataset.facets ?? "")
        .split(" ")
        .filter(Boolean)
        .map((facet) => ({ attribute: facet.split(":")[0], label: facet.split(":")[1].replace(/_/g, " ") }));
      this.chosen = Object.fromEntries(this.facets.map(({ attribute }) => [attribute, ""]));
      this.query = "";
      this.sort = null;
      this.view = "";
      this.picked = new Set();
      // What brings the tools in line with what is chosen, after a step back.
      this.follow = [];
      this.frame = table.closest(".le-scroll");
      // Kept from events: to ask for it would lay the table out.
      this.scrolled = false;
      this.frame.addEventListener("scroll", () => (this.scrolled = this.frame.scrollTop > 0), { passive: true });
      this.style = document.head.appendChild(make("style"));
      this.read();
      this.addHeads();
      this.addTools();
      if (table.dataset.compare) this.addPicks();
      phone.addEventListener("change", () => this.update());
      addEventListener("popstate", () => {
        this.read();
        for (const each of this.follow) each();
        this.update();
      });
      this.update();
    }

    // A choice is a step that the browser can go back from; what is typed in one go is one step.
    chose(typed = false) {
      this.update(typed && this.typing ? "replaceState" : "pushState");
      this.typing = typed;
    }

    // A long table answers before all of it is laid out: with its first rows, and the others come in the pauses
    // after. Until this script runs the style sheet holds them back. Who has scrolled down keeps what is there.
    showFirst() {
      const shown = this.rows.filter((row) => !row.hidden);
      const first = this.scrolled ? shown.length : AT_FIRST;
      shown.forEach((row, k) => row.classList.toggle("le-held", k >= first));
      this.frame.classList.add("le-filling");
      this.showRest(shown.slice(first));
    }

    showRest(rows) {
      noLonger(this.pause);
      if (!rows.length) return;
      this.pause = later(() => {
        for (const row of rows.slice(0, AT_FIRST)) row.classList.remove("le-held");
        this.showRest(rows.slice(AT_FIRST));
      });
    }

    // --- the address ---

    read() {
      const asked = new URLSearchParams(location.search);
      const get = (name) => asked.get(this.prefix + name) ?? "";
      const known = new Set(this.columns.map((column) => column.key));
      this.query = get("q");
      for (const { attribute } of this.facets) this.chosen[attribute] = get(attribute);
      const [key, order] = get("sort").split(":");
      this.sort = known.has(key) ? { key, order: order === "asc" ? "asc" : "desc" } : null;
      this.hidden = new Set(get("hide").split(",").filter((each) => known.has(each)));
      this.view = ["cards", "table"].includes(get("view")) ? get("view") : "";
      this.typing = false;
    }

    write(how) {
      const address = new URL(location.href);
      const set = (name, value) =>
        value ? address.searchParams.set(this.prefix + name, value) : address.searchParams.delete(this.prefix + name);
      set("q", this.query);
      for (const { attribute } of this.facets) set(attribute, this.chosen[attribute]);
      set("sort", this.sort && `${this.sort.key}:${this.sort.order}`);
      set("hide", [...this.hidden].join(","));
      set("view", this.view);
      // Commas and colons may stand in a query as they are, and are easier to read.
      address.search = address.search.replace(/%2C/g, ",").replace(/%3A/g, ":");
      if (address.href !== location.href) history[how](history.state, "", address);
    }

    // --- sorting ---

    value(row, column) {
      const cell = row.cells[column.index];
      if (column.better === "text") return cell.dataset.v ?? cell.textContent.trim();
      return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
    }

    sorted() {
      if (!this.sort) return this.original;
      const column = this.columns.find((each) => each.key === this.sort.key);
      const sign = this.sort.order === "asc" ? 1 : -1;
      const values = new Map(this.original.map((row) => [row, this.value(row, column)]));
      const blank = (value) => value === null || value === "" || value === "—";
      return [...this.original].sort((a, b) => {
        const [left, right] = [values.get(a), values.get(b)];
        if (blank(left) || blank(right)) return blank(left) - blank(right);
        return sign * (column.better === "text" ? collator.compare(left, right) : left - right);
      });
    }

    // The better end first, then the other, then as the page came.
    next(column) {
      const first = column.better === "higher" || column.better === "none" ? "desc" : "asc";
      if (this.sort?.key !== column.key) return { key: column.key, order: first };
      return this.sort.order === first ? { key: column.key, order: first === "asc" ? "desc" : "asc" } : null;
    }

    inWords() {
      if (!this.sort) return "";
      const column = this.columns.find((each) => each.key === this.sort.key);
      const up = this.sort.order === "asc";
      const order = {
        text: up ? "from A to Z" : "from Z to A",
        higher: up ? "worst first" : "best first",
        lower: up ? "best first" : "worst first",
        none: up ? "lowest first" : "highest first",
      }[column.better];
      return `, sorted by ${column.label}, ${order}`;
    }

    addHeads() {
      for (const column of this.columns) {
        const content = column.th.querySelector(".le-metric") ?? column.th;
        const button = make("button", { type: "button", className: "le-sort" });
        if (content === column.th) button.append(...content.childNodes);
        else button.append(content.cloneNode(true));
        button.addEventListener("click", () => {
          this.sort = this.next(column);
          this.chose();
        });
        content === column.th ? content.append(button) : content.replaceWith(button);
        if (content !== column.th) button.append(make("span", { className: "le-aside", textContent: `, sort by ${column.label}` }));
      }
    }

    // --- tools above the table ---

    addTools() {
      const tools = make("div", { className: "le-tools", role: "group" });
      tools.setAttribute("aria-label", `Choose from ${this.noun}`);
      const search = make("input", { type: "search", value: this.query, autocomplete: "off", spellcheck: false });
      search.addEventListener("input", () => {
        this.query = search.value;
        this.chose(true);
      });
      this.follow.push(() => (search.value = this.query));
      tools.append(make("label", { className: "le-field" }, make("span", { textContent: "Find" }), search));
      for (const facet of this.facets) tools.append(this.facetTool(facet));
      if (this.columns.length > 3) tools.append(this.columnTool());
      const save = make("button", { type: "button", className: "le-tool", textContent: "CSV" });
      save.title = "Save what is shown";
      save.addEventListener("click", () => this.save());
      this.cards = make("button", { type: "button", className: "le-tool le-only-phone" });
      this.cards.addEventListener("click", () => {
        this.view = this.asCards ? "table" : "cards";
        this.chose();
      });
      this.status = make("p", { className: "le-status", role: "status" });
      if (this.table.dataset.compare) {
        this.comparison = make("a", { className: "le-tool le-compare", hidden: true });
        tools.append(this.comparison);
      }
      tools.append(save, this.cards, this.status);
      this.cards.hidden = "ownCards" in this.table.dataset;
      if (!("fold" in this.table.dataset)) return this.frame.before(tools);
      const fold = make("details", { className: "le-fold le-fold-tools" }, make("summary", { textContent: "Find and filter" }), tools);
      fold.open = Boolean(this.query || Object.values(this.chosen).some(Boolean));
      this.frame.before(fold);
    }

    facetTool({ attribute, label }) {
      const values = [...new Set(this.rows.map((row) => row.dataset[attribute]).filter(Boolean))].sort(collator.compare);
      const select = make("select", {}, new Option("all", ""), ...values.map((value) => new Option(value, value)));
      if (!values.includes(this.chosen[attribute])) this.chosen[attribute] = "";
      select.value = this.chosen[attribute];
      select.addEventListener("change", () => {
        this.chosen[attribute] = select.value;
        this.chose();
      });
      this.follow.push(() => (select.value = this.chosen[attribute]));
      return make("label", { className: "le-field" }, make("span", { textContent: label }), select);
    }

    columnTool() {
      const panel = make("div", { className: "le-panel-of-columns" });
      const names = [...new Set(this.columns.slice(1).map((column) => column.group))];
      for (const name of names) {
        const members = this.columns.slice(1).filter((column) => column.group === name);
        const boxes = members.map((column) => this.box(column.label, !this.hidden.has(column.key)));
        const show = (column, shown) => (shown ? this.hidden.delete(column.key) : this.hidden.add(column.key));
        const all = this.box(name || "all", boxes.every((box) => box.input.checked));
        boxes.forEach((box, k) =>
          box.input.addEventListener("change", () => {
            show(members[k], box.input.checked);
            all.input.checked = boxes.every((each) => each.input.checked);
            this.chose();
          }),
        );
        all.input.addEventListener("change", () => {
          boxes.forEach((box, k) => show(members[k], (box.input.checked = all.input.checked)));
          this.chose();
        });
        this.follow.push(() => {
          boxes.forEach((box, k) => (box.input.checked = !this.hidden.has(members[k].key)));
          all.input.checked = boxes.every((box) => box.input.checked);
        });
        all.label.className = "le-all";
        panel.append(make("fieldset", {}, make("legend", { className: "le-aside", textContent: name || "Columns" }), all.label, ...boxes.map((box) => box.label)));
      }
      const tool = make("details", { className: "le-columns" }, make("summary", { className: "le-tool", textContent: "Columns" }), panel);
      tool.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !tool.open) return;
        tool.open = false;
        tool.firstElementChild.focus();
      });
      document.addEventListener("click", (event) => {
        if (!tool.contains(event.target)) tool.open = false;
      });
      return tool;
    }

    box(text, checked) {
      const input = make("input", { type: "checkbox", checked });
      return { input, label: make("label", {}, input, ` ${text}`) };
    }

    // --- comparing ---

    addPicks() {
      for (const row of this.rows) {
        const input = make("input", { type: "checkbox", className: "le-pick" });
        input.setAttribute("aria-label", `Compare ${row.dataset.entry}`);
        input.addEventListener("change", () => {
          input.checked ? this.picked.add(row.dataset.entry) : this.picked.delete(row.dataset.entry);
          this.showPicks();
        });
        row.cells[0].prepend(input);
      }
    }

    showPicks() {
      const full = this.picked.size >= 4;
      for (const input of this.body.querySelectorAll(".le-pick")) input.disabled = full && !input.checked;
      this.comparison.hidden = this.picked.size < 2;
      this.comparison.textContent = `Compare ${this.picked.size}`;
      this.comparison.href = `${this.table.dataset.compare}?entries=${[...this.picked].join(",")}`;
    }

    // --- cards ---

    get asCards() {
      return phone.matches && this.view !== "table" && !("ownCards" in this.table.dataset);
    }

    showCards() {
      const cards = this.asCards;
      this.cards.textContent = cards ? "Table" : "Cards";
      this.frame.classList.toggle("le-cards", cards);
      // As blocks, the parts of a table lose what they mean unless it is said.
      const roles = [["table", "table"], ["tbody", "rowgroup"], ["tbody tr", "row"], ["tbody td", "cell"], ["tbody th", "rowheader"]];
      if (cards && !this.labelled) {
        this.labelled = true;
        const some = this.columns.some((column) => column.th.hasAttribute("data-card"));
        const folded = this.columns.slice(1).filter((column) => some && !column.th.hasAttribute("data-card"));
        for (const row of this.rows) {
          this.columns.forEach((column) => (row.cells[column.index].dataset.label = column.label));
          folded.forEach((column) => row.cells[column.index].classList.add("le-folded"));
          if (folded.length) row.cells[0].append(this.opener(row, folded.length));
        }
      }
      for (const [selector, role] of roles) {
        for (const element of selector === "table" ? [this.table] : this.table.querySelectorAll(selector)) {
          cards ? element.setAttribute("role", role) : element.removeAttribute("role");
        }
      }
    }

    opener(row, count) {
      const button = make("button", { type: "button", className: "le-opener", textContent: `${count} more` });
      button.setAttribute("aria-expanded", "false");
      button.addEventListener("click", () =>
        button.setAttribute("aria-expanded", String(row.classList.toggle("le-open"))),
      );
      return button;
    }

    // --- what is shown ---

    matches(row) {
      const text = `${row.cells[0].textContent} ${Object.values(row.dataset).join(" ")}`.toLowerCase();
      return (
        this.query.toLowerCase().split(/\s+/).every((word) => text.includes(word)) &&
        this.facets.every(({ attribute }) => !this.chosen[attribute] || row.dataset[attribute] === this.chosen[attribute])
      );
    }

    update(how = "replaceState") {
      const order = this.sorted();
      if (order.some((row, k) => row !== this.rows[k])) this.body.append(...order);
      this.rows = order;
      let shown = 0;
      for (const row of order) {
        row.hidden = !this.matches(row);
        shown += !row.hidden;
      }
      for (const { th, key } of this.columns) {
        const order = this.sort?.key === key ? { asc: "ascending", desc: "descending" }[this.sort.order] : null;
        order ? th.setAttribute("aria-sort", order) : th.removeAttribute("aria-sort");
        th.hidden = this.hidden.has(key);
      }
      for (const head of this.groups) {
        head.colSpan = this.columns.filter((c) => c.group === head.dataset.groupHead && !this.hidden.has(c.key)).length || 1;
        head.style.setProperty("--le-span", head.colSpan);
        head.hidden = this.columns.every((c) => c.group !== head.dataset.groupHead || this.hidden.has(c.key));
      }
      const hidden = this.columns.filter((column) => this.hidden.has(column.key));
      this.style.textContent = hidden
        .map(({ index }) => `#${this.table.id} > tbody > tr > :nth-child(${index + 1})`)
        .join(",")
        .concat(hidden.length ? "{display:none !important}" : "");
      if (this.frame.classList.contains("le-tall")) this.showFirst();
      this.showCards();
      this.write(how);
      this.status.textContent = `${this.counted(shown, order.length)}${this.inWords()}`;
    }

    counted(shown, all) {
      if (shown < all) return `${shown} of ${all} ${this.noun}`;
      return `${all} ${all === 1 ? this.noun.replace(/s$/, "") : this.noun}`;
    }

    plainly(cell, column) {
      return cell.dataset.csv ?? (column.better === "text" ? cell.textContent.trim() : (cell.dataset.v ?? ""));
    }

    csv() {
      const columns = this.columns.filter((column) => !this.hidden.has(column.key));
      const rows = this.rows.filter((row) => !row.hidden);
      const half = (row, { index }) => row.cells[index].querySelector(".le-half");
      const wide = new Map(columns.map((column) => [column, rows.some((row) => half(row, column))]));
      const head = columns.flatMap((column) => (wide.get(column) ? [column.key, `${column.key} half width`] : [column.key]));
      const lines = rows.map((row) =>
        columns.flatMap((column) => {
          const cell = row.cells[column.index];
          const text = column.index ? this.plainly(cell, column) : (row.dataset.entry ?? cell.textContent.trim());
          return wide.get(column) ? [text, plain(half(row, column)?.textContent ?? "")] : [text];
        }),
      );
      return [head, ...lines].map((line) => line.map(quoted).join(",")).join("\n") + "\n";
    }

    save() {
      const link = make("a", { download: `${this.table.id}.csv` });
      link.href = URL.createObjectURL(new Blob([this.csv()], { type: "text/csv" }));
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }
  }

  const tables = [...document.querySelectorAll("table[data-le-table]")];
  tables.forEach((table) => new BoardTable(table, tables.length > 1 ? `${table.id}.` : ""));
})();
