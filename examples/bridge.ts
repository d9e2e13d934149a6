/**
 * bridge: two interfaces, one umem; what comes in on one goes out of the other without being copied by this program.
 *
 *   bun run examples/bridge.ts [IFACE1 IFACE2] [--json]
 *
 * You should see packets per second in each direction. Both devices name the same umem, so that a frame is forwarded by
 * handing its number to the other device's transmit ring. In its own lab the bridge is all that joins two namespaces, one of
 * which pings the other and sends it 10 000 datagrams a second.
 */
import { Loop, Umem, type XdpDevice } from "millrace";
import { completeChecksum } from "./support/checksum.ts";
import { bitRate, grouped, Meter, packetRate } from "./support/meter.ts";
import { Layers } from "./support/layers.ts";
import { BETWEEN, makeTraffic, openPlace } from "./support/place.ts";
import { print, program, stopOnSignals, stopWhenGone, wholeNumber } from "./support/program.ts";

const USAGE = `usage: bun run examples/bridge.ts [IFACE1 IFACE2] [options]
  --json        one line of JSON a second
  --chunks N    frames of 2048 bytes that both share, 8192 unless given`;
const EVERY_MS = 1000;
/** Two fill rings of 2048 and as many frames on their way out. */
const CHUNKS = "8192";
/** 2 GiB of 2048 bytes, what one umem can hold. */
const MAX_CHUNKS = 1_048_576;

/** Sends on to `to` what arrives on `from`. */
const join = (loop: Loop, from: XdpDevice, to: XdpDevice): void => {
  const layers = new Layers();
  loop.receive(from, (frame) => {
    // Frames of a local kernel carry half a checksum on veth; the far end wants all of it.
    completeChecksum(frame, layers.read(frame.view, frame.at, frame.head));
    frame.forward(to);
  });
  stopWhenGone(loop, from);
};

await program(
  USAGE,
  { json: { type: "boolean", default: false }, chunks: { type: "string", default: CHUNKS } },
  async (values, interfaces) => {
    using place = openPlace(interfaces, BETWEEN, 2, 2);
    using umem = new Umem({ chunks: wholeNumber("--chunks", values.chunks, 64, MAX_CHUNKS) });
    using left = place.attach(place.interfaces[0]!, { umem });
    using right = place.attach(place.interfaces[1]!, { umem });
    using loop = new Loop();
    stopOnSignals(loop);
    join(loop, left, right);
    join(loop, right, left);
    const totals = () => {
      const [one, other] = [left.statistics(), right.statistics()];
      const lost =
        one.rxDropped + one.txFull + one.txDropped + (other.rxDropped + other.txFull + other.txDropped);
      return { there: other.txPackets, back: one.txPackets, bytes: one.txBytes + other.txBytes, lost };
    };
    const meter = new Meter(loop.now, totals());
    loop.every(EVERY_MS, () => {
      const now = totals();
      const rates = meter.rates(loop.now, now);
      if (values.json) {
        const record = { pps: rates.there + rates.back, therePps: rates.there, backPps: rates.back };
        print(JSON.stringify({ ...record, bytesPerSecond: rates.bytes, ...now }));
        return;
      }
      print(
        `${left.name} → ${right.name} ${packetRate(rates.there).padStart(10)}   ` +
          `${right.name} → ${left.name} ${packetRate(rates.back).padStart(10)}   ` +
          `${bitRate(rates.bytes).padStart(12)}   ${grouped(now.there + now.back)} forwarded, ${grouped(now.lost)} lost`,
      );
    });
    if (place.lab !== undefined) makeTraffic(place.lab);
    if (!values.json) print(`bridging ${left.name} and ${right.name}; Ctrl-C ends`);
    await loop.run();
    return left.open && right.open ? 0 : 1;
  },
);
