/** From attach to close on the cards of the virtual machine, zero-copy. */
import { cardBeds } from "../../support/bed.ts";
import { lifecycleSuite } from "../../support/lifecycle-suite.ts";

/** Every kind of life five times; fewer where each of them takes the link down for seconds. */
const COUNT = 100;
const COUNT_WITH_RESTARTS = 24;

for (const bed of cardBeds()) {
  lifecycleSuite(bed.name, {
    modes: [bed],
    count: bed.facts.programRestartsLink ? COUNT_WITH_RESTARTS : COUNT,
  });
}
