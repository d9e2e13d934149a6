/** Where flows go: one stays where it is until its path, or that which takes it over, is another than before. */
import type { Path } from "../../../stack/ip/paths/path.ts";

/** A way that a flow may take. */
export interface Option {
  readonly name: string;
  /** Undefined where nothing leads over it now. */
  readonly path: Path | undefined;
  /** When routes over it came or went last. */
  readonly routedMs: number;
}

interface Last {
  readonly number: number;
  readonly askedMs: number;
  readonly option: string;
}

export class Flows {
  readonly #last = new Map<string, Last>();

  /**
   * The question `number` of a flow, which was asked then, leaves over `taken`; `optionOf` finds one by its name. What is wrong
   * with that; undefined where nothing is.
   */
  wrongWith(
    flow: string,
    number: number,
    askedMs: number,
    taken: Option,
    optionOf: (name: string) => Option | undefined,
  ): string | undefined {
    const last = this.#last.get(flow);
    // One that waited for a neighbour may be overtaken.
    if (last !== undefined && last.number >= number) return undefined;
    this.#last.set(flow, { number, askedMs, option: taken.name });
    if (last === undefined || last.option === taken.name) return undefined;
    const left = optionOf(last.option);
    const isAsBefore = ({ path, routedMs }: Option): boolean =>
      path?.state === "up" && path.changedMs < last.askedMs && routedMs < last.askedMs;
    if (left === undefined || !isAsBefore(left) || !isAsBefore(taken)) return undefined;
    return `flow ${flow} moves from ${left.name}, which is well, to ${taken.name}, which was before`;
  }
}
