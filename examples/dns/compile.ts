/**
 * A zone made into answers: for each of its names what to say to each type, at the name itself and to names below that it has not.
 */
import { type Answer, AnswerStore, compileAnswer } from "./answer.ts";
import type { Rcode } from "./message.ts";
import { labelsOf, wildcardOf } from "./names.ts";
import { NameTable } from "./name-table.ts";
import { NO_TYPE, resolve, typesOf } from "./resolve.ts";
import type { RecordSet, Zone } from "./zone.ts";

/** The answers of one name by type; a name has few, and few types have more than one name. */
export class AnswerSet {
  readonly #types: Int32Array;
  readonly #answers: readonly Answer[];
  readonly #other: Answer;

  constructor(byType: ReadonlyMap<number, Answer>, other: Answer) {
    this.#types = Int32Array.from(byType.keys());
    this.#answers = [...byType.values()];
    this.#other = other;
  }

  /** Allocates nothing. */
  of(type: number): Answer {
    const types = this.#types;
    for (let i = 0; i < types.length; i++) if (types[i] === type) return this.#answers[i]!;
    return this.#other;
  }
}

/** What a responder answers from. */
export interface CompiledZone {
  readonly names: NameTable;
  /** By the number that `names` has for a name: what is said about it. */
  readonly at: readonly AnswerSet[];
  /** The same about names below it, when it is the last one on the way to them. */
  readonly below: readonly AnswerSet[];
  /** Labels of the deepest name. */
  readonly depth: number;
  /** The bytes of all answers. */
  readonly words: Int32Array;
}

export const compileZone = (zone: Zone): CompiledZone => {
  const compiler = new Compiler(zone);
  const nodes = [...zone.nodes()];
  return {
    names: new NameTable(nodes.map(({ name }) => name)),
    at: nodes.map(({ name }) => compiler.set(name, false)),
    below: nodes.map(({ name }) => compiler.set(wildcardOf(name), true)),
    depth: nodes.reduce((depth, { name }) => Math.max(depth, labelsOf(name).length), 0),
    words: compiler.store.words(),
  };
};

class Compiler {
  readonly store = new AnswerStore();
  readonly #zone: Zone;
  /** Answers without records of the name: by their code, or by the delegation that they name. */
  readonly #shared = new Map<Rcode | RecordSet, Answer>();
  /** Sets of one answer to all types. */
  readonly #plain = new Map<Answer, AnswerSet>();

  constructor(zone: Zone) {
    this.#zone = zone;
  }

  /** What is said about `name`; where that is a wildcard and `many`, about all names that it stands for. */
  set(name: Uint8Array, many: boolean): AnswerSet {
    const other = this.#answer(name, NO_TYPE, many);
    const byType = new Map<number, Answer>();
    for (const type of typesOf(this.#zone, name)) {
      const answer = this.#answer(name, type, many);
      if (answer !== other) byType.set(type, answer);
    }
    if (byType.size > 0) return new AnswerSet(byType, other);
    const plain = this.#plain.get(other) ?? new AnswerSet(byType, other);
    this.#plain.set(other, plain);
    return plain;
  }

  #answer(name: Uint8Array, type: number, many: boolean): Answer {
    const outcome = resolve(this.#zone, name, type);
    const [proof] = outcome.authority;
    if (outcome.answer.length > 0 || proof === undefined)
      return compileAnswer(outcome, name, many, this.store);
    // Without a record of the name itself all names below the owner of the authority record are told the same.
    const key = outcome.authoritative ? outcome.rcode : proof.set;
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    const made = compileAnswer(outcome, wildcardOf(proof.set.owner), true, this.store);
    this.#shared.set(key, made);
    return made;
  }
}
