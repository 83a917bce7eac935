"use strict";
// The state is the fragment of the address, such as #filter=became-right&before=0&after=2, so that a view can be linked.
const place = document.getElementById("queries");
const status = document.getElementById("status");
const buttons = [...document.querySelectorAll("[data-filter]")];
const choosers = [...document.querySelectorAll("select")];
// The lists by model: those shown are moved, so later the document has them in another order.
const queries = [...place.children].map((element) => ({
  element,
  lists: [...element.querySelectorAll(".list")],
  right: element.dataset.right,
  precision: element.dataset.ap.split(" ").map(Number),
}));
const last = document.querySelectorAll("#before option").length - 1;

const FILTERS = {
  all: () => queries,
  "became-right": ({ before, after }) => queries.filter((q) => q.right[before] === "0" && q.right[after] === "1"),
  "became-wrong": ({ before, after }) => queries.filter((q) => q.right[before] === "1" && q.right[after] === "0"),
  // The sort is stable: equal precisions stay in the order of the queries.
  hardest: ({ after }) =>
    [...queries].sort((a, b) => a.precision[after] - b.precision[after]).slice(0, Number(place.dataset.hardest)),
};
const EMPTY = {
  all: "There is no query.",
  "became-right": "No query became right.",
  "became-wrong": "No query became wrong.",
  hardest: "There is no query.",
};

function readState() {
  const words = new URLSearchParams(location.hash.slice(1));
  const model = (name, otherwise) => {
    const number = Number(words.get(name) ?? otherwise);
    return Number.isInteger(number) && number >= 0 && number <= last ? number : otherwise;
  };
  const filter = buttons.some((b) => b.dataset.filter === words.get("filter")) ? words.get("filter") : "all";
  return { filter, before: model("before", 0), after: model("after", Math.max(0, last)) };
}

function writeState(change) {
  location.hash = new URLSearchParams({ ...readState(), ...change });
}

function showLists(lists, { before, after }) {
  lists.forEach((list, number) => {
    list.hidden = number !== before && number !== after;
  });
  lists[before].parentElement.append(lists[before], ...(before === after ? [] : [lists[after]]));
}

function show() {
  const state = readState();
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(button.dataset.filter === state.filter));
    button.querySelector("span").textContent = FILTERS[button.dataset.filter](state).length;
  }
  for (const chooser of choosers) chooser.value = state[chooser.id];
  const shown = FILTERS[state.filter](state);
  for (const { element } of queries) element.hidden = true;
  for (const { element, lists } of shown) {
    showLists(lists, state);
    element.hidden = false;
    place.append(element);
  }
  const noun = shown.length === 1 ? "query" : "queries";
  const order = state.filter === "hardest" ? ", lowest average precision first" : "";
  status.textContent = shown.length ? `${shown.length} ${noun} shown${order}.` : EMPTY[state.filter];
  status.classList.toggle("empty", shown.length === 0);
}

for (const button of buttons) button.addEventListener("click", () => writeState({ filter: button.dataset.filter }));
for (const chooser of choosers) chooser.addEventListener("change", () => writeState({ [chooser.id]: chooser.value }));
addEventListener("hashchange", show);
document.getElementById("controls").hidden = false;
show();
