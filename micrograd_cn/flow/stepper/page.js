// What Python has sent with the page: words, graphs, limits, and of the playground the grammar and the operations.

import { byId } from "./elements.js";
import { parsed } from "./text.js";

export const page = JSON.parse(byId("data").textContent);

export const decoded = x => (typeof x === "string" ? parsed(x) : x); // JSON has no nan and inf
