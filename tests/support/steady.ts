/**
 * A program that moves numbered packets for a long time and reports what that cost: `bun run steady.ts veth|rings|echo COUNT
 * LIMIT_MS`. Run it with BUN_JSC_logGC=1; the marks on stderr say which collections were in the steady state.
 */
import { heapStats } from "bun:jsc";
import { attach, createLink, type Frame, Host, Loop, Transmitter, type XdpDevice } from "../../index.ts";
import { createBurst } from "../../stack/device/frame.ts";
import { FakeKernel } from "./fake-rings.ts";
import { HOST4, HOST_MAC, STATION_MAC, udpFrame } from "./host-frames.ts";
import { Lab } from "./lab.ts";
import { settleAccounts } from "./stream.ts";

export const MARK_WARM = "mark: warm";
export const MARK_END = "mark: end";

export interface SteadyReport {
  readonly packets: number;
  readonly disordered: number;
  readonly heapBefore: number;
  readonly heapAfter: number;
  readonly rssBefore: number;
  readonly rssAfter: number;
  readonly seconds: number;
}

const ETHERTYPE = 0x88b5;
const TYPE_AT = 12;
const NUMBER_AT = TYPE_AT + 2;
const LENGTH_BYTES = 60;
/** In flight at the most: what rings and pool hold without a drop. */
const WINDOW = 512;
const WARM_PACKETS = 500_000;
const ECHO_PORT = 9000;
const ECHO_BYTES = 64;
/** Turns between two looks at the clock. */
const CLOCK_EVERY = 4096;

/** Moves packets until so many have arrived or the time is up; how many have arrived since the start. */
type Mover = (until: number, deadlineMs: number) => number;

let disordered = 0;

const overVeth = (a: XdpDevice, b: XdpDevice): { readonly move: Mover; readonly end: () => void } => {
  const loop = new Loop({ mode: "spin" });
  const sender = new Transmitter(a.queues[0]!);
  let sent = 0;
  let arrived = 0;
  const write = (frame: Frame): void => {
    frame.view.setUint16(frame.at + TYPE_AT, ETHERTYPE);
    frame.view.setUint32(frame.at + NUMBER_AT, sent);
  };
  loop.add(a);
  loop.receive(b, (frame) => {
    if (frame.view.getUint32(frame.at + NUMBER_AT) !== arrived) disordered += 1;
    arrived += 1;
  });
  const move: Mover = (until, deadlineMs) => {
    for (let turns = 0; arrived < until; turns++) {
      while (sent - arrived < WINDOW && sent < until && sender.send(LENGTH_BYTES, write)) sent += 1;
      loop.turn();
      if (turns % CLOCK_EVERY === 0 && performance.now() > deadlineMs) until = sent;
    }
    return arrived;
  };
  return { move, end: () => loop.close() };
};

const overRings = (kernel: FakeKernel): Mover => {
  const { socket, umem } = kernel;
  const burst = createBurst(64);
  let arrived = 0;
  return (until) => {
    while (arrived < until) {
      socket.flush();
      const filled = (kernel.fill.producer - kernel.fill.consumer) >>> 0;
      for (let i = 0; i < filled; i++) {
        const at = kernel.takeFill() + umem.headroomBytes;
        umem.view.setUint32(at + NUMBER_AT, arrived + i);
        kernel.deliverPlain(at, LENGTH_BYTES);
      }
      for (let count = socket.receive(burst); count > 0; count = socket.receive(burst)) {
        for (let i = 0; i < count; i++) {
          const at = burst.address[i]!;
          if (umem.view.getUint32(at + NUMBER_AT) !== arrived) disordered += 1;
          arrived += 1;
          socket.send(at, LENGTH_BYTES, false);
        }
        socket.settle(burst, count);
        socket.flush();
        for (let at = kernel.takeTxAddress(); at >= 0; at = kernel.takeTxAddress()) kernel.complete(at);
      }
    }
    return arrived;
  };
};

/** Datagrams to a host at the other end of a memory link, which sends each back in its frame. */
const overEcho = (): { readonly move: Mover; readonly accounts: () => void; readonly end: () => void } => {
  const loop = new Loop({ mode: "spin" });
  const [near, far] = createLink({ shared: true, macs: [STATION_MAC.toBytes(), HOST_MAC.toBytes()] });
  const host = new Host({ loop });
  host.join(far, { addresses: [`${HOST4}/24`], linkLocal: false });
  host.udp(ECHO_PORT, (datagram) => {
    datagram.reply();
  });
  const sender = new Transmitter(near.queues[0]!);
  const packet = udpFrame(new Uint8Array(ECHO_BYTES), { port: ECHO_PORT });
  const write = ({ bytes, at }: Frame): void => bytes.set(packet, at);
  let sent = 0;
  let arrived = 0;
  loop.receive(near, (frame) => {
    // The host announces its address as well; only the answers are as long as what was sent.
    if (frame.length === packet.length) arrived += 1;
  });
  const move: Mover = (until) => {
    while (arrived < until) {
      while (sent - arrived < WINDOW && sent < until && sender.send(packet.length, write)) sent += 1;
      loop.turn();
    }
    return arrived;
  };
  const accounts = (): void => {
    const { lent, kept } = near.umem.accounts();
    if (lent + kept !== 0) throw new Error(`${lent} chunks lent and ${kept} kept between turns`);
  };
  const end = (): void => {
    host.close();
    loop.close();
  };
  return { move, accounts, end };
};

const measure = (move: Mover, packets: number, limitMs: number, accounts: () => void): void => {
  // Until every path is compiled to its last tier and every buffer has its size.
  const warm = move(WARM_PACKETS, performance.now() + limitMs);
  accounts();
  Bun.gc(true);
  const heapBefore = heapStats().heapSize;
  const rssBefore = process.memoryUsage.rss();
  console.error(MARK_WARM);
  const began = performance.now();
  const arrived = move(warm + packets, began + limitMs);
  const seconds = (performance.now() - began) / 1000;
  console.error(MARK_END);
  const rssAfter = process.memoryUsage.rss();
  Bun.gc(true);
  const heapAfter = heapStats().heapSize;
  accounts();
  const report: SteadyReport = {
    packets: arrived - warm,
    disordered,
    heapBefore,
    heapAfter,
    rssBefore,
    rssAfter,
    seconds,
  };
  console.log(JSON.stringify(report));
};

const main = (): void => {
  const [, , where, count, limitMs] = process.argv;
  if (where === "rings") {
    const kernel = new FakeKernel({ size: 1024, chunks: 4096, start: 0xfff00000 });
    measure(overRings(kernel), Number(count), Number(limitMs), () => void kernel.umem.accounts());
    kernel.socket.close();
    return;
  }
  if (where === "echo") {
    const { move, accounts, end } = overEcho();
    measure(move, Number(count), Number(limitMs), accounts);
    end();
    return;
  }
  using lab = Lab.create({ quiet: true });
  using a = attach(lab.a.name, { namespace: lab.namespace("a"), bind: "copy" });
  using b = attach(lab.b.name, {
    namespace: lab.namespace("b"),
    bind: "copy",
    claim: { ethertype: ETHERTYPE },
  });
  const { move, end } = overVeth(a, b);
  measure(move, Number(count), Number(limitMs), () => settleAccounts(a, b));
  end();
  const { rxDropped, rxPackets } = b.statistics();
  if (rxDropped !== 0 || rxPackets !== a.statistics().txPackets)
    throw new Error(`${rxDropped} dropped, ${rxPackets} received of ${a.statistics().txPackets}`);
};

if (import.meta.main) {
  main();
  process.exit(0);
}
