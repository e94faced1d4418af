// What tests of the stepper may use.

import { commands } from "./controls.js";
import { pythonOf } from "./copy.js";
import { openDoor } from "./door.js";
import { nudgeBy, showWays } from "./editing.js";
import { byId } from "./elements.js";
import { gradient, movesOf, replayed } from "./engine.js";
import { nodesIn } from "./fold.js";
import { isEditable, isLeaf, receiver } from "./graph.js";
import { dot, erf, erfc, logsumexp, sum } from "./ieee.js";
import { learn } from "./learn.js";
import { largestOf, norm, smallestOf } from "./lists.js";
import { layerOf, stepOn } from "./moving.js";
import { toggle } from "./opening.js";
import { page } from "./page.js";
import { partName } from "./parts.js";
import { isRight, stepNumber } from "./question.js";
import { session } from "./session.js";
import { exact, filled, parsed, rounded, shown } from "./text.js";
import { setTheme } from "./theme.js";
import { viewport } from "./viewport.js";
import { forward, partials } from "../rows.js";

openDoor({
  ...{ byId, commands, learn, nudgeBy, page, session, setTheme, showWays, stepOn, toggle, viewport },
  ...{ forward, partials, gradient, movesOf, replayed, isEditable, isLeaf, layerOf, nodesIn, receiver },
  ...{ dot, erf, erfc, largestOf, logsumexp, norm, smallestOf, sum },
  ...{ exact, filled, isRight, parsed, partName, pythonOf, rounded, shown, stepNumber },
});
