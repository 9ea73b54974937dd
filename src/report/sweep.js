"use strict";
// The tables of sweep.html: what `document.py` wrote as JSON, sorted and filtered by Tabulator.

const isFramed = window.self !== window.top; // MLflow shows the page in a frame, where no link opens anything
document.documentElement.classList.toggle("framed", isFramed);

// Six digits, as on the screen: 2.92765, 2.82858e-07.
function digits(number) {
  if (number === null) return "";
  const short = Number(number.toPrecision(6));
  const exponent = short === 0 ? 0 : Math.floor(Math.log10(Math.abs(short)));
  if (exponent >= -4 && exponent < 6) return String(short);
  const [head, power] = short.toExponential().split("e");
  return `${head}e${power[0]}${power.slice(1).padStart(2, "0")}`;
}

// `<0.01`, `>=1 <5`, or a number as it is shown; null for what is none of these. Read once for all rows.
const read = new Map();
function conditions(text) {
  if (!read.has(text)) read.set(text, parsed(text));
  return read.get(text);
}

function parsed(text) {
  const found = [...text.matchAll(/(<=|>=|<|>|=)?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*/gi)];
  if (found.map(each => each[0]).join("") !== text) return null;
  return found.map(([, sign, number]) => [sign ?? "=", Number(number)]);
}

const HOLDS = {
  "<": (value, limit) => value < limit,
  "<=": (value, limit) => value <= limit,
  ">": (value, limit) => value > limit,
  ">=": (value, limit) => value >= limit,
  "=": (value, limit) => digits(value) === digits(limit),
};

function passes(asked, value) {
  const found = conditions(asked.trim());
  if (found === null) return digits(value).includes(asked.trim());
  return value !== null && found.every(([sign, limit]) => HOLDS[sign](value, limit));
}

// Empty cells last, in both directions.
function byNumber(one, other, oneRow, otherRow, column, direction) {
  if (one === null || other === null) {
    const order = (one === null) - (other === null);
    return direction === "asc" ? order : -order;
  }
  return one - other;
}

function byText(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}

// Texts stay texts: what a file calls its columns is no HTML.
function cell(show) {
  return found => {
    const value = found.getValue();
    found.getElement().title = value ?? "";
    return show(value, found);
  };
}

function link(name, found) {
  if (isFramed) return document.createTextNode(name);
  const anchor = document.createElement("a");
  anchor.href = found.getData().page.replace("RUN", found.getData()["run id"]);
  anchor.textContent = name;
  return anchor;
}

function column({ title, kind }) {
  const shared = { title, field: title, headerFilter: "input", headerSortTristate: true, maxInitialWidth: 360 };
  if (kind === "number") {
    return {
      ...shared,
      hozAlign: "right",
      headerHozAlign: "right",
      sorter: byNumber,
      headerFilterFunc: passes,
      headerFilterPlaceholder: "< >",
      formatter: cell(value => document.createTextNode(digits(value))),
      frozen: title === "#",
    };
  }
  const show = title === "run" ? link : value => document.createTextNode(value);
  return { ...shared, sorter: byText, headerFilterFunc: "like", headerFilterPlaceholder: "…", formatter: cell(show) };
}

function rows(columns) {
  return Array.from(columns[0].values, (_, place) =>
    Object.fromEntries(
      columns.map(({ title, values, texts }) => [title, texts ? texts[values[place]] : values[place]]),
    ),
  );
}

function build(columns, place) {
  const all = rows(columns);
  const count = document.getElementById(`count-${place}`);
  const say = shown => {
    const of = all.length.toLocaleString("en");
    count.textContent = shown === all.length ? `${of} runs` : `${shown.toLocaleString("en")} of ${of} runs`;
  };
  const table = new Tabulator(`#table-${place}`, {
    data: all,
    columns: columns.filter(({ title }) => title !== "page").map(column),
    layout: "fitData",
    maxHeight: "75vh",
    nestedFieldSeparator: false,
    rowFormatter: row => row.getElement().classList.add(row.getData().outcome.split(" ")[0]),
  });
  table.on("dataFiltered", (filters, found) => say(found.length));
  say(all.length);
  return table;
}

const tables = JSON.parse(document.getElementById("tables").textContent).map(build);
