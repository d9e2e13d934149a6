/** The contract of a device, kept by AF_XDP sockets on a veth pair in both modes. */
import { describe } from "bun:test";
import { deviceContract } from "../support/device-contract.ts";
import { Lab } from "../support/lab.ts";
import { openEnd } from "../support/pair.ts";
import { skipWithoutLab } from "../support/skip.ts";

/** Twice the default, so that packets of several chunks fit the pair. */
const JUMBO_MTU = 9000;

describe.skipIf(skipWithoutLab(Lab.unavailable())).each(["generic", "native"] as const)("%s mode", (xdp) => {
  deviceContract(`AF_XDP, ${xdp}`, {
    create: () => {
      const lab = Lab.create({ quiet: true, mtu: JUMBO_MTU });
      try {
        // A pool larger than fill ring and tx ring together: the contract fills the tx ring to the brim.
        const options = { xdp, multiBuffer: true, chunks: 8192 };
        return {
          left: openEnd(lab, "a", options),
          right: openEnd(lab, "b", options),
          cleanUp: () => lab.close(),
        };
      } catch (error) {
        lab.close();
        throw error;
      }
    },
    longPacketBytes: JUMBO_MTU,
  });
});
