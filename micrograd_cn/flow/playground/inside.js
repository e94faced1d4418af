// What tests of the rooms may use.

import { drawBoard, refresh, views, wiring } from "./board.js";
import { drawLosses } from "./charts.js";
import { computationOf } from "./computation.js";
import { levelLine } from "./contour.js";
import { DATA, REACH, inputsAt } from "./data.js";
import { EXAMPLES } from "./examples.js";
import { ReadError, readExpression } from "./expression.js";
import { REST } from "./link.js";
import { Network } from "./network.js";
import { Field, GRID, Survey } from "./plane.js";
import { Sweeps } from "./sweeps.js";
import { Random } from "./random.js";
import { Constant, Recorder } from "./recorder.js";
import { showRoom } from "./rooms.js";
import { slopesOf } from "./sequences.js";
import { DEFAULTS } from "./settings.js";
import { Trainer } from "./train.js";
import { openBatch, openSample, renew, setTraining, stopTraining } from "./training.js";
import { readTyped } from "./typing.js";
import { deadNeurons } from "./wiring.js";
import { offerLessons, showLesson } from "../lessons/lesson.js";
import { LESSONS } from "../lessons/lessons.js";
import { drawModelLosses } from "../model/charts.js";
import { Learner } from "../model/learner.js";
import { attentionGraph, chanceGraph, lossGraph } from "../model/opened.js";
import { letterOf, modelShares, typedTokens } from "../model/reading.js";
import { setModel } from "../model/room.js";
import { invent, showModel } from "../model/seen.js";
import { MODEL_DEFAULTS, model } from "../model/settings.js";
import { openAttention, openChance } from "../model/stepping.js";
import { openDoor } from "../stepper/door.js";
import "../stepper/inside.js";

openDoor({
  ...{ EXAMPLES, ReadError, readExpression, readTyped, showRoom, REST },
  ...{ LESSONS, offerLessons, showLesson },
  ...{ DATA, DEFAULTS, GRID, REACH, Field, Network, Survey, Trainer, computationOf, inputsAt, levelLine },
  ...{
    deadNeurons,
    drawBoard,
    drawLosses,
    openBatch,
    openSample,
    refresh,
    renew,
    setTraining,
    stopTraining,
    views,
    wiring,
  },
  ...{ Constant, Sweeps, Random, Recorder, slopesOf },
  ...{ Learner, MODEL_DEFAULTS, attentionGraph, chanceGraph, drawModelLosses, letterOf, lossGraph },
  ...{ invent, model, modelShares, openAttention, openChance, setModel, showModel, typedTokens },
});
