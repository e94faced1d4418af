// Search the tutorial and the reference. The list of texts is a script, which a page from a disk can load, too.

import MiniSearch from "minisearch";
import { announce, element, facts, filled, words } from "./words.js";

const base = new URL(".", document.currentScript.src).href;
const MOST = 20; // results that are shown
const input = document.getElementById("find"), found = document.getElementById("found");
let index;

// Words; of Chinese, which has no spaces, each character and each pair of neighbours.
function tokenize(text) {
  const parts = text.toLowerCase().split(/[^\p{L}\p{N}_]+/u).filter(Boolean);
  return parts.flatMap(part => part.match(/\p{Script=Han}+|[^\p{Script=Han}]+/gu).flatMap(pieces));
}

function pieces(part) {
  if (!/\p{Script=Han}/u.test(part)) return part.includes("_") ? [part, ...part.split("_").filter(Boolean)] : [part];
  const characters = [...part];
  return characters.length === 1 ? characters : characters.slice(1).map((each, i) => characters[i] + each);
}

function load() {
  return new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = `${base}search.${facts.lang}.js`;
    script.addEventListener("load", () => {
      index = new MiniSearch({ fields: ["title", "text"], storeFields: ["title", "text", "url"], tokenize });
      index.addAll(globalThis.SITE_TEXTS);
      done();
    });
    script.addEventListener("error", failed);
    document.head.append(script);
  });
}

let loading;

async function search() {
  const query = input.value.trim();
  await (loading ??= load());
  const options = { prefix: term => term.length > 1, combineWith: "AND", boost: { title: 3 } };
  const results = query ? index.search(query, options) : [];
  found.replaceChildren(...results.slice(0, MOST).map(result => shown(result, query)));
  announce(query ? filled(results.length ? words.found : words.nothing_found, { count: results.length }) : "");
}

function shown({ title, text, url, match }, query) {
  const item = element("li"), link = element("a", "", title);
  link.href = url;
  const lower = text.toLowerCase();
  const places = [query.toLowerCase(), ...Object.keys(match)].map(term => lower.indexOf(term)).filter(place => place >= 0);
  const place = places[0] ?? 0, near = Math.max(0, place - 40), space = text.indexOf(" ", near);
  const from = near && space >= 0 && space < place ? space + 1 : near; // where a word begins
  item.append(link, element("span", "", `${from ? "… " : ""}${text.slice(from, from + 140)}${text.length > from + 140 ? " …" : ""}`));
  return item;
}

input.addEventListener("focus", () => (loading ??= load()), { once: true });
input.addEventListener("input", search);
