/** SIGKILL at 200 random moments on a veth pair, in native and generic mode in turn. */
import { VETH_BEDS } from "../support/bed.ts";
import { killSuite } from "../support/kill-suite.ts";

killSuite("veth", { modes: VETH_BEDS, rounds: 200, silenceMs: 50, programGoneMs: 1000, startMs: 200 });
