/** Which interfaces of this machine are joined by cables and free to make labs of, as a person or a test runner writes it. */
import type { Cable } from "./lab-plan.ts";

/** `MILLRACE_CABLES=vn0-vn1,vn2-vn3`: pairs of interfaces of this machine that nothing else needs. */
export const CABLES_VARIABLE = "MILLRACE_CABLES";

/** Cables from `NAME-NAME,...`; none from an empty text. Throws, quoting what it does not understand. */
export const parseCables = (text: string): readonly Cable[] =>
  text.split(",").flatMap((word) => {
    if (word.trim() === "") return [];
    const [a, b, ...rest] = word.trim().split("-");
    if (a === undefined || b === undefined || a === "" || b === "" || rest.length > 0)
      throw new Error(`${CABLES_VARIABLE}: a cable is NAME-NAME, not ${JSON.stringify(word)}`);
    return [{ a, b }];
  });
