/** A feature as the survey tries it, and what its trial came to. */
import { SystemError } from "../../../../index.ts";
import type { LabOptions } from "../../../support/lab.ts";
import type { Found } from "../../found.ts";
import type { Stage } from "./stage.ts";

export interface Feature {
  readonly name: string;
  /** The lab that it needs, beside a quiet one with two ends. */
  readonly shape?: LabOptions;
  /** True for a lab of its own, because other programs may leave things in it. */
  readonly alone?: boolean;
  /**
   * Tries it; what it returns says what was seen. A SystemError means that it was refused, an Absent that there is nothing to
   * try, any other error that it went wrong.
   */
  readonly attempt: (stage: Stage) => string | Promise<string>;
}

/** There is nothing of the kind here. */
export class Absent extends Error {}

/** It was accepted and then did not do what it should, and something can be done about it. */
export class Wrong extends Error {
  readonly remedy: string;

  constructor(detail: string, remedy: string) {
    super(detail);
    this.remedy = remedy;
  }
}

/** The first line of an error: what follows is the log of a library. */
const firstLine = (text: string): string => text.split("\n")[0]!;

/** The names of this lab's interfaces and their queues are nothing that a table could use. */
const generalise = (text: string, stage: Stage): string => {
  const names = stage.lab.pairs.flatMap(({ a, b }) => [a.name, b.name]);
  return text
    .replaceAll(new RegExp(`\\b(?:${names.join("|")})\\b`, "g"), "IFACE")
    .replaceAll(/\b0-\d+\b/g, "0-N");
};

const outcomeOf = (error: unknown): Omit<Found, "feature" | "device"> => {
  // What was refused or judged while frames flowed comes with their whereabouts around it.
  if (error instanceof Error && (error.cause instanceof SystemError || error.cause instanceof Wrong))
    return outcomeOf(error.cause);
  if (error instanceof SystemError) {
    const { code, operation, remedy } = error;
    return { answer: "refused", errno: code, remedy, detail: `cannot ${operation}: ${code}` };
  }
  if (error instanceof Absent) return { answer: "absent", detail: error.message };
  if (error instanceof Wrong) return { answer: "wrong", remedy: error.remedy, detail: error.message };
  return { answer: "wrong", detail: firstLine(error instanceof Error ? error.message : String(error)) };
};

/** Tries a feature on a stage. */
export const examine = async (feature: Feature, stage: Stage): Promise<Found> => {
  const at = { feature: feature.name, device: stage.kind.device };
  try {
    return { ...at, answer: "works", detail: await feature.attempt(stage) };
  } catch (error) {
    const outcome = outcomeOf(error);
    return {
      ...at,
      ...outcome,
      ...(outcome.remedy === undefined ? {} : { remedy: generalise(outcome.remedy, stage) }),
    };
  }
};
