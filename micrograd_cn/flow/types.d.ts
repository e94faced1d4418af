// The types of what the modules of the page give each other. They are for tsc alone: no script reads this file.

type Language = "en" | "zh";
type Words = Record<string, string>;

/** An operation of a certain number of operands; see `operation_facts` in flow/graph.py. */
interface Operation {
  row: string;
  symbol: string;
  text: string;
  written?: string;
  still: number[];
  selects?: number[];
  listed?: boolean;
}

/** A node of a graph. A leaf has no operation and no parents. */
interface GraphNode extends Partial<Operation> {
  name: string;
  gets: boolean;
  parameter: boolean;
  group: number;
  parents?: number[];
  /** The number of the first operand slot, among those of all nodes. */
  slots: number;
}

/** What a group contains: a node or another group. */
interface Child {
  node?: number;
  group?: number;
}

/** A part of a graph that opens and closes. `outer` is the group around it, or -1. */
interface Group {
  name: string;
  outer: number;
  path: string;
  part: number | false;
  parts?: number;
  title?: string;
  children: Child[];
}

/** [name, flags, group, operation, parents]; see flow/graph.py. */
type NodeFacts = [name: string, flags: number, group: number, operation?: number, parents?: number[]];

interface GraphFacts {
  ops: Operation[];
  nodes: NodeFacts[];
  groups: [name: string, outer: number][];
  root: number;
  fixed: string;
  handwritten?: boolean;
}

interface Graph {
  root: number;
  fixed: string;
  handwritten?: boolean;
  nodes: GraphNode[];
  groups: Group[];
  /** The interior nodes, each before its operands. */
  order: number[];
  slotCount: number;
  /** For each node, how many contributions it will receive. */
  expected: Int32Array;
  children: Child[];
  paths?: Set<string>;
  copyable?: boolean;
  openedAtFirst?: Set<number>;
  learners?: number[];
}

interface Numbers {
  data: number[];
  partials: number[][];
  theirs?: number[];
}

/** A graph with its numbers. */
interface Recorded extends Numbers {
  graph: Graph;
}

type Kind = "forward" | "seed" | "send" | "zero";

interface Move {
  kind: Kind;
  node: number;
  slot?: number;
}

/** Moves that are made together: one, or consecutive ones inside a closed part. */
interface Step {
  kind: Kind;
  node: number;
  box: number;
  moves: Move[];
  start: number;
  end: number;
}

type Point = [x: number, y: number];

interface Placed {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A node, or a closed part. Its text and its place are found when it is drawn. */
interface Box extends Placed {
  name: string;
  key: string;
  frame: number;
  nodes: number[];
  group: number | null;
  folded: boolean;
  bare: boolean;
  title: string;
  pairs: string[];
  notes: number;
  rows: string[];
  roles: string;
  /** Pixels beside texts, between a word and its number when a number grows, for the title and for a line. */
  style: { side: number; between: number; title: number; line: number; top: number };
}

/** An open part. */
interface Frame extends Placed {
  key: string;
  group: number;
  outer: number;
  name: string;
  least: number;
}

interface Edge {
  source: number;
  target: number;
  slots: [node: number, slot: number][];
  constant: boolean;
  /** The width of its label. */
  label: number;
  points: Point[];
  place?: Point;
}

/** The pixels that a graph may cover, and its smallest and its largest zoom. */
interface Stage {
  width: number;
  height: number;
  least: number;
  most: number;
}

/** How a graph is drawn: from top to bottom, with its boxes closer together, and as high as a stage. */
interface Arrangement {
  vertical: boolean;
  tight: boolean;
  stage?: Stage | null;
}

/** What is drawn of a graph. */
interface Shape {
  graph: Graph;
  open: Set<number>;
  boxes: Box[];
  frames: Frame[];
  edges: Edge[];
  boxOf: Int32Array;
  vertical: boolean;
  size: [width: number, height: number];
}

/** What is known after some moves. */
interface State {
  known: boolean[];
  before: Float64Array;
  arrived: Float64Array;
  terms: number[][];
  sent: (number | undefined)[];
  reached: Uint8Array;
  passes: number;
  began: boolean;
  zeroed: boolean;
}

interface BoxFacts {
  name: string;
  folded: boolean;
  constant: boolean;
  still: boolean;
  began: boolean;
  count: number;
  total: number;
  state: "waiting" | "partial" | "complete";
  symbol: string;
  value: number | null;
  theirs: number | null;
  terms: number[];
  grad: number | null;
  asked?: boolean;
}

interface EdgeFacts {
  source: string;
  target: string;
  slot: number | null;
  count: number;
  constant: boolean;
  partial: number | null;
  upstream: number | null;
  size: number | null;
  nothing: "unselected" | "unreached" | null;
  undefinedProduct: boolean;
  stops: boolean;
  sign: string;
  asked?: boolean;
}

interface View {
  shape: Shape;
  graph: Graph;
  numbers: Numbers;
  moves: Move[];
  done: number;
  state: State;
  boxes: BoxFacts[];
  edges: EdgeFacts[];
}

/** The boxes and edges that a step is about, and the box that sends, or -1. */
interface Active {
  boxes: Set<number>;
  edges: Set<number>;
  sender: number;
}

/** What the reader has chosen in the stepper. */
interface Chosen {
  lang: Language;
  snapshot: number;
  edits: Map<number, number>;
  actions: string[];
  done: number;
  open: Set<number>;
  anchor: string | null;
  predict: boolean;
  hides: Set<string>;
  asking: boolean;
  timer: ReturnType<typeof setInterval> | null;
  fresh: boolean;
  speed: number;
}

interface News {
  other: boolean;
  anew: boolean;
  changes: Partial<Chosen>;
}

/** A run that is drawn: the session, or one apart from it. */
interface Run {
  shape: Shape;
  numbers: Numbers;
  moves: Move[];
  steps: Step[];
  words: Words;
  chosen: Chosen;
}

/** A part of the picture. */
type Part = [left: number, top: number, width: number, height: number];

/** How a function is called in an expression; see flow/grammar.py. Three facts are there only if they are true. */
interface CallFacts {
  parameters: [name: string, list: boolean, fallback: (number | null)[]][];
  named?: boolean;
  order: string[] | null;
  some?: boolean;
  alike?: boolean;
  usage: string;
}

/** What flow/grammar.py says of expressions. */
interface Grammar {
  infix: Record<string, [name: string, precedence: number, right: number]>;
  prefix: Record<string, [name: string, precedence: number]>;
  number: string;
  products: string;
  functions: Record<string, CallFacts>;
  constants: Record<string, number | string>;
  aliases: Record<string, string>;
  meant: Record<string, string>;
  libraries: string[];
}

/** A step of a loss; see `_loss` in flow/playground.py. */
type LossStep = [name: string, operands: (number | [number])[]];

/** Parts of the data that came later, which files beside the page set. */
declare var pageParts: Record<string, Partial<PageData>>;

/** The data that Python wrote into the page. */
interface PageData {
  lang: Language | null;
  words: Record<Language, Words>;
  limits: { boxes: number; edges: number; most: number; label: number };
  seconds: { first: number; leaves: number; forward: number; backward: number; last: number };
  keywords: string[];
  // of draw_flow()
  graphs: GraphFacts[];
  tapes: { columns: number[]; fixed: (number | string)[]; varying: string }[];
  snapshots: number[];
  expression?: string;
  /** The addresses of parts of the data in files beside the page; see stepper/later.js. */
  later?: Record<string, string>;
  /** What is usual for an operation, as JSON that has @ in the place of the operation's name. */
  usual?: string;
  // of the playground
  operations: Record<string, Operation | (Operation | null)[]>;
  grammar: Grammar;
  activations: string[];
  neurons: number;
  names: string;
  losses: Record<string, { targets: [number, number]; logits: boolean; steps: LossStep[][] }>;
}

/** A point of the data: where it is drawn, what the network gets, and its class. */
interface Sample {
  at: Point;
  inputs: number[];
  label: number;
}

/** A room of the playground; see playground/rooms.js. */
interface Room {
  panel: string;
  facts(): Record<string, any>;
  begin(): void;
  arrive(link: Link): void | (() => void);
  keep(): () => void;
  /** Return what the reader has made in the room, as far as no link tells it, and the settings that it belongs to. */
  made?(): { settings: string; made: object } | undefined;
  entered?(): void;
  left?(): void;
}

/** What a link says, by its keys. */
type Link = Map<string, string>;

interface LessonState {
  name: string;
  at: number;
  /** Gives the reader back what the rooms had before. */
  work: () => void;
  /** What a link said when the caption was shown. */
  start: string;
  /** Whether a link says how many steps the lesson's model has learned. */
  carries: boolean;
}

/** The mean loss of some points, and the share of right answers. */
interface Measured {
  loss: number;
  right: number;
}

/** Equal operations that are computed together; playground/sweeps.js says what the parts are. */
interface OperationRun {
  name: string;
  kind: string;
  first: number;
  count: number;
  base: number[];
  step: number[];
  tables: Int32Array[];
  even: boolean;
  results: boolean[];
  value?: (...operands: number[]) => number;
  slopes?: (value: number, ...operands: number[]) => number[];
  facts?: Operation;
}
