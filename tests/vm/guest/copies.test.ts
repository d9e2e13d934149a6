/** No byte of a frame is copied in user space on the cards; that the kernel copies none either is zero-copy.test.ts. */
import { cardBeds } from "../../support/bed.ts";
import { copiesSuite } from "../../support/copies-suite.ts";

for (const bed of cardBeds()) copiesSuite(bed);
