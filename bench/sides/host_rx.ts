/**
 * Datagrams from a memory device to the handlers of sockets, without a kernel: the other end of the link sends a batch (not
 * timed), then the host's turn is timed. `--flows N` opens N connected sockets, each with a sender of its own.
 */
import { parseArgs } from "node:util";
import { createLink, Host, Loop, Transmitter, type Frame } from "../../index.ts";
import {
  checksum,
  ethernet,
  ETHERTYPE,
  IpAddress,
  ipv4,
  MacAddress,
  PROTOCOL,
  udp,
} from "../../stack/wire/index.ts";
import { ready, result } from "./side.ts";

const PORT = 9000;
/** The frame is 60 bytes then, which is 64 with the checksum of the wire. */
const PAYLOAD_BYTES = 18;
const UDP_BYTES = udp.HEADER_BYTES + PAYLOAD_BYTES;
const IP_BYTES = ipv4.HEADER_BYTES + UDP_BYTES;
const FRAME_BYTES = ethernet.HEADER_BYTES + IP_BYTES;
const TTL = 64;
/** Datagrams that one turn of a loop delivers from one queue: four bursts of 64. */
const BATCH = 256;
const FIRST_PORT = 1024;
const PORTS = 50_000;
/** Goes through the flows in an order that has nothing to do with that of their sockets; prime to any round number. */
const STRIDE = 48_271;
const CHUNKS = 4096;
const FIRST_SENDER = IpAddress.parse("10.1.0.1").w3;
const OURS = IpAddress.parse("10.0.0.2");

const { values } = parseArgs({
  options: {
    flows: { type: "string", default: "1" },
    seconds: { type: "string", default: "2" },
    warmup: { type: "string", default: "3" },
  },
});
const flows = Number(values.flows);
const loop = new Loop({ mode: "spin" });
const [near, far] = createLink({ shared: true, chunkCount: CHUNKS });
const host = new Host({ loop });
host.join(far, { addresses: [`${OURS}/8`], linkLocal: false });
let packets = 0;
let bytes = 0;
const handler = (datagram: { readonly length: number }): void => {
  packets += 1;
  bytes = (bytes + datagram.length) | 0;
};
const senders = new Int32Array(new ArrayBuffer(flows * Int32Array.BYTES_PER_ELEMENT));
const ports = new Uint16Array(new ArrayBuffer(flows * Uint16Array.BYTES_PER_ELEMENT));
for (let i = 0; i < flows; i++) {
  senders[i] = FIRST_SENDER + i;
  ports[i] = FIRST_PORT + ((i * STRIDE) % PORTS);
  const remote = { address: IpAddress.v4(senders[i]!), port: ports[i]! };
  host.udp({ port: PORT, remote }, handler);
}

const transmitter = new Transmitter(near.queues[0]!);
const to = MacAddress.fromBytes(far.mac);
const from = MacAddress.fromBytes(near.mac);
let flow = 0;
const write = ({ view, at }: Frame): void => {
  flow = (flow + STRIDE) % flows;
  const ipAt = at + ethernet.HEADER_BYTES;
  const udpAt = ipAt + ipv4.HEADER_BYTES;
  ethernet.writeHeader(view, at, to, from, ETHERTYPE.IPV4);
  ipv4.writeHeader(
    view,
    ipAt,
    0,
    IP_BYTES,
    0,
    ipv4.DONT_FRAGMENT,
    TTL,
    PROTOCOL.UDP,
    senders[flow]!,
    OURS.w3,
  );
  udp.writeHeader(view, udpAt, ports[flow]!, PORT, UDP_BYTES, 0);
  udp.writeChecksum(view, udpAt, checksum.pseudo4(view, ipAt, PROTOCOL.UDP, UDP_BYTES), UDP_BYTES);
};

ready();
const begin = performance.now() + Number(values.warmup) * 1000;
const end = begin + Number(values.seconds) * 1000;
let spentNs = 0;
let measured = 0;
for (let now = performance.now(); now < end; now = performance.now()) {
  for (let i = 0; i < BATCH; i++) transmitter.send(FRAME_BYTES, write);
  near.queues[0]!.flush();
  const before = packets;
  const started = Bun.nanoseconds();
  loop.turn();
  const took = Bun.nanoseconds() - started;
  if (packets - before !== BATCH) throw new Error(`${packets - before} of ${BATCH} datagrams arrived`);
  if (now < begin) continue;
  spentNs += took;
  measured += BATCH;
}
result("host_rx", { packets: measured, nsPerPacket: spentNs / measured, bytes });
host.close();
loop.close();
