/** Invalid descriptors on the cards of the virtual machine, zero-copy. */
import { cardBeds } from "../../support/bed.ts";
import { descriptorsSuite } from "../../support/descriptors-suite.ts";

for (const bed of cardBeds()) descriptorsSuite(bed);
