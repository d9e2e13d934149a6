/** What the failover example tells in a laboratory of its own: who says what, when, and what is done to the paths meanwhile. */
import { bold, columns, dim, flow } from "../support/paint.ts";
import { print } from "../support/program.ts";
import type { PathSide, TwoPathLab } from "../two-path-lab.ts";
import type { FlowFigures } from "./ledger.ts";
import type { ToldChange } from "./pair.ts";
import { changeText, figuresText } from "./text.ts";

/** A line of one of the two ends. */
export type Told = Readonly<Record<string, unknown>>;

const MS_PER_S = 1000;
const DIGITS = 1;
const TIME_WIDTH = 6;
const ENDS = 2;
const NAMES = { client: "client ", host: "service" } as const;

export class Teller {
  readonly #lab: TwoPathLab;
  readonly #json: boolean;
  readonly #startMs = performance.now();
  readonly #ready = new Set<PathSide>();
  #windows = 0;

  constructor(lab: TwoPathLab, json: boolean) {
    this.#lab = lab;
    this.#json = json;
  }

  /** What is there, for people. */
  begin(): void {
    if (this.#json) return;
    const words =
      `A client asks a service at ${this.#lab.service[4]} a thousand times a second; two paths lead there. ` +
      `Path 1 is cut every three seconds, for one. Ctrl-C ends.`;
    for (const line of flow(words.split(" "), columns())) print(line);
  }

  /** Something is done to a path. */
  did(text: string): void {
    if (this.#json) print(JSON.stringify({ did: text }));
    else print(`${this.#time()}           ${bold(text)}`);
  }

  /** One of the ends said something. */
  hear(end: PathSide, told: Told): void {
    if (this.#json) print(JSON.stringify({ end, ...told }));
    else {
      const text = this.#text(end, told);
      if (text !== undefined) print(`${this.#time()}  ${dim(NAMES[end])}  ${text}`);
    }
  }

  #time(): string {
    const seconds = (performance.now() - this.#startMs) / MS_PER_S;
    return dim(`${seconds.toFixed(DIGITS).padStart(TIME_WIDTH)} s`);
  }

  /** For people: what concerns the conversation, which is one of IPv4, and the client's view of it. */
  #text(end: PathSide, told: Told): string | undefined {
    if (told.ready === true) {
      this.#ready.add(end);
      return "every path lives";
    }
    const isReady = this.#ready.size === ENDS;
    if (typeof told.path === "string") {
      const change = told as unknown as ToldChange;
      const path = this.#lab.paths.find(
        (each) => told.path === `${each[end].name} via ${each[end].gateways[4]}`,
      );
      return path === undefined || !isReady ? undefined : `path ${path.number + 1} is ${changeText(change)}`;
    }
    // The first window began before every path lived, when some questions had nowhere to go.
    if (typeof told.sent !== "number" || !isReady) return undefined;
    this.#windows += 1;
    return this.#windows > 1 ? figuresText(told as unknown as FlowFigures) : undefined;
  }
}
