/** The coverage of the kernel's own AF_XDP test program on the cards of the virtual machine, zero-copy. */
import { cardBeds } from "../../support/bed.ts";
import { xskSuite } from "../../support/xsk-suite.ts";

for (const bed of cardBeds()) xskSuite(bed);
