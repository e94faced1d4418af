// When something fails, say so and stop what runs. Otherwise each frame would fail again, and nobody would know why the
// numbers stand still.

import { byId } from "./elements.js";
import { pause } from "./moving.js";
import { session } from "./session.js";

export const stoppable = []; // functions that stop what runs

export function tellFailure(error) {
  if (!byId("failure").hidden) return; // what stops may fail too
  byId("failure").hidden = false;
  byId("failure").textContent = `${session.words.failure} ${error?.message ?? error ?? ""}`;
  for (const stop of [pause, ...stoppable]) stop();
}

// A browser also reports a loop of observers of sizes, which is no error of the page and has none.
addEventListener("error", event => event.error && tellFailure(event.error));
addEventListener("unhandledrejection", event => tellFailure(event.reason));
