// What is chosen in the playground: the session has it beside what the stepper shows.

import { DEFAULTS } from "./settings.js";
import { session } from "../stepper/session.js";

Object.assign(session, {
  room: "typing",
  lesson: null, // that is shown: its name, the caption's number, the prediction
  origin: "", // of the computation that is stepped through, if it does not come from the room's own stepper
  typed: { text: "", values: new Map(), made: null, error: null }, // the expression, its variables' numbers, its graph
  board: {
    settings: { ...DEFAULTS },
    own: [], // points that were drawn
    paint: 0, // the class of the next one
    trainer: null,
    point: 0, // the sample that opens in the stepper
    dead: [], // neurons through which no gradient goes, by layer
    running: null, // the request of the next frame
  },
});
