/** SIGKILL at random moments on the cards of the virtual machine, zero-copy. */
import { cardBeds } from "../../support/bed.ts";
import { killSuite } from "../../support/kill-suite.ts";

/** A start takes seconds on an emulated processor, and a restarted link some more. */
const ROUNDS = 20;
const ROUNDS_WITH_RESTARTS = 10;
/** An emulated processor is up to a hundred times slower, and has other work of the host's to wait for. */
const SILENCE_MS = 2000;
/** The link is agreed upon anew after the program has gone. */
const SILENCE_WITH_RESTARTS_MS = 10_000;
const PROGRAM_GONE_MS = 5000;
const START_MS = 2500;

for (const bed of cardBeds()) {
  const restarts = bed.facts.programRestartsLink;
  killSuite(bed.name, {
    modes: [bed],
    rounds: restarts ? ROUNDS_WITH_RESTARTS : ROUNDS,
    silenceMs: restarts ? SILENCE_WITH_RESTARTS_MS : SILENCE_MS,
    programGoneMs: PROGRAM_GONE_MS,
    startMs: START_MS,
  });
}
