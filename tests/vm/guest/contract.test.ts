/** The contract of a device, kept by AF_XDP sockets on the cards of the virtual machine, zero-copy. */
import { cardBeds } from "../../support/bed.ts";
import { contractSuite } from "../../support/contract-suite.ts";

for (const bed of cardBeds()) contractSuite(bed);
