/** No byte of a frame is copied in user space; the kernel's one copy is what a veth costs. */
import { VETH_BEDS } from "../support/bed.ts";
import { copiesSuite } from "../support/copies-suite.ts";

for (const bed of VETH_BEDS) copiesSuite(bed);
