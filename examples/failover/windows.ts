/** Windows of a flow, begun and ended by whoever started this program: lines on standard input, a record for each. */
import type { Loop } from "millrace";
import type { Asker } from "./asker.ts";
import { print } from "../support/program.ts";
import { epochMs } from "./text.ts";

/**
 * Obeys "begin", "end" (prints what became of the questions since), and "trace" (the same with each of them). The end of
 * standard input ends the loop.
 */
export const obey = (loop: Loop, asker: Asker): void => {
  void (async () => {
    for await (const line of console) {
      const now = loop.now;
      const { ledger, unsent } = asker;
      if (line === "begin") ledger.begin(now);
      else if (line === "end") print(JSON.stringify({ ...ledger.figures(now), unsent }));
      else if (line === "trace")
        print(
          JSON.stringify({
            ...ledger.figures(now),
            unsent,
            beganAtMs: epochMs(ledger.beganMs),
            trace: ledger.trace(now),
          }),
        );
    }
    loop.stop();
  })();
};
