/** The coverage of the kernel's own AF_XDP test program over a veth pair, in generic and native mode. */
import { VETH_BEDS } from "../support/bed.ts";
import { xskSuite } from "../support/xsk-suite.ts";

for (const bed of VETH_BEDS) xskSuite(bed);
