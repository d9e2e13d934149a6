/**
 * The far end of a tunnel where the kernel has none: takes packets out of other packets that are for an address of this
 * interface, and gives them to the kernel. `decapsulate-child.ts IFACE ADDRESS...`
 */
import { attach, Loop, type Frame } from "../../index.ts";
import { ETHERTYPE, ethernet, ipv4, ipv6, PROTOCOL } from "../../stack/wire/index.ts";

const [name = "", ...addresses] = process.argv.slice(2);
const claim = addresses.flatMap((destination) =>
  [PROTOCOL.IPV4, PROTOCOL.IPV6].map((protocol) => ({ destination, protocol })),
);
using device = attach(name, { claim });
using loop = new Loop();

/** Bytes of the outer header, which has to be a plain one around a whole packet; 0 for what is none. */
const outerBytes = ({ view, at, head }: Frame): number => {
  const ipAt = at + ethernet.HEADER_BYTES;
  const length = head - ethernet.HEADER_BYTES;
  if (ethernet.type(view, at) === ETHERTYPE.IPV4)
    return ipv4.check(view, ipAt, length) < 0 ? 0 : ipv4.headerBytes(view, ipAt);
  return ipv6.check(view, ipAt, length) < 0 ? 0 : ipv6.HEADER_BYTES;
};

loop.receive(device, (frame) => {
  const { view, at } = frame;
  const outer = outerBytes(frame);
  if (outer === 0) return;
  const [to, from] = [ethernet.destination(view, at), ethernet.source(view, at)];
  frame.adjustHead(outer);
  const inner = view.getUint8(frame.at + ethernet.HEADER_BYTES) >> 4;
  ethernet.writeHeader(view, frame.at, to, from, inner === 4 ? ETHERTYPE.IPV4 : ETHERTYPE.IPV6);
  frame.pass();
});
for (const signal of ["SIGINT", "SIGTERM"]) loop.signal(signal, () => loop.stop());
console.log("ready");
await loop.run();
