/** The contract of a device, kept by AF_XDP sockets on any bed. */
import { afterAll, describe } from "bun:test";
import { type Bed, skipBed } from "./bed.ts";
import { deviceContract } from "./device-contract.ts";
import { Ground } from "./ground.ts";

/** Six times the default, so that packets of several chunks fit the pair. */
const JUMBO_MTU = 9000;
/** What is on its way between two cards takes a few milliseconds on an emulated processor. */
const PAUSE_MS = 1;

/** Runs the contract on a bed. Call it inside a test file. */
export const contractSuite = (bed: Bed): void => {
  const { multiBuffer, immediate } = bed.facts;
  describe.skipIf(skipBed(bed))(bed.name, () => {
    const ground = new Ground(bed);
    afterAll(() => ground.close());
    deviceContract(`AF_XDP on ${bed.name}`, {
      create: () => {
        const lab = ground.lab({ quiet: true, ...(multiBuffer ? { mtu: JUMBO_MTU } : {}) });
        // A pool larger than fill ring and tx ring together: the contract fills the tx ring to the brim.
        const options = { multiBuffer, chunks: 8192 };
        const left = ground.open("a", options, lab);
        try {
          return { left, right: ground.open("b", options, lab) };
        } catch (error) {
          left.close();
          throw error;
        }
      },
      longPacketBytes: multiBuffer ? JUMBO_MTU : 0,
      ...(immediate ? {} : { pause: () => Bun.sleep(PAUSE_MS) }),
    });
  });
};
