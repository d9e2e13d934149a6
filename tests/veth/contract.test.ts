/** The contract of a device, kept by AF_XDP sockets on a veth pair in both modes. */
import { VETH_BEDS } from "../support/bed.ts";
import { contractSuite } from "../support/contract-suite.ts";

for (const bed of VETH_BEDS) contractSuite(bed);
