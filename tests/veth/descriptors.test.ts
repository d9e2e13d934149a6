/** Invalid descriptors on a veth pair, in generic and native mode. */
import { VETH_BEDS } from "../support/bed.ts";
import { descriptorsSuite } from "../support/descriptors-suite.ts";

for (const bed of VETH_BEDS) descriptorsSuite(bed);
