/** From attach to close, a thousand times on a veth pair, in generic and native mode. */
import { VETH_BEDS } from "../support/bed.ts";
import { lifecycleSuite } from "../support/lifecycle-suite.ts";

lifecycleSuite("veth", { modes: VETH_BEDS, count: 1000 });
