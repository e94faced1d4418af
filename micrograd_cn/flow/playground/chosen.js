// Add to the session what the reader has chosen in the playground.

import { DEFAULTS } from "./settings.js";
import { session } from "../stepper/session.js";

Object.assign(session, {
  room: "typing",
  lesson: null, // the lesson that is shown: its name, the number of the caption, the reader's answer
  origin: "", // says where the computation in the stepper comes from, if a room has opened it
  // the expression, the numbers of its variables, and its graph
  typed: { text: "", values: new Map(), made: null, error: null, number: null },
  board: {
    settings: { ...DEFAULTS },
    own: [], // points that the reader has drawn
    paint: 0, // the class of the next point
    trainer: null,
    point: 0, // the chosen sample, which opens in the stepper
    dead: [], // for each layer, which neurons have gradient 0 at every sample
    running: null, // the request for the next frame while training runs
  },
});
