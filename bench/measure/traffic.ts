/**
 * `veth.*`: packets a second received, sent and forwarded over veth pairs, against the C programs and dpdk-testpmd.
 */
import { Lab, type LabOptions } from "../../examples/lab.ts";
import { type Contender, hold, type Readings } from "../contest.ts";
import type { Line } from "../report.ts";
import { type Actor, peer, PROGRAM_CORE, SENDER_CORE, side, start } from "../stage.ts";
import {
  BURST,
  machine,
  MEASURED_S,
  pinning,
  timeArguments,
  timing,
  TX_BUDGET,
  WARMUP_S,
} from "./conditions.ts";
import { isTestpmdInstalled, testpmdForward, testpmdReceive, testpmdSend } from "./testpmd.ts";

/** Ethernet adds this to the MTU; the FCS is not part of what programs see. */
const ETHERNET_HEADER_BYTES = 14;
/** 64 B on the wire with the FCS. */
const SMALL_PACKET = 60;
/** Frames above a chunk's room arrive in several; live frames of the generator end at a page. */
const LARGE_MTU = 9000;
const DEFAULT_MTU = 1500;
/** The generator starts a moment before and ends after the program under test. */
const GENERATOR_EXTRA_S = WARMUP_S + 1;
const RUN_S = WARMUP_S + MEASURED_S;

/** A program under test, told its interfaces, running and ready. */
export type Start = (lab: Lab, interfaces: readonly string[]) => Promise<Actor>;

const started =
  (command: readonly string[], packet: number): Start =>
  (lab, interfaces) =>
    start(lab, "b", PROGRAM_CORE, [
      ...command,
      ...interfaces,
      ...timeArguments(),
      "--packet",
      String(packet),
      "--burst",
      String(BURST),
    ]).ready();

const isLarge = (packet: number): boolean => packet > DEFAULT_MTU + ETHERNET_HEADER_BYTES;

const labFor = (packet: number, pairs = 1): LabOptions => ({
  quiet: true,
  pairs,
  mtu: Math.max(DEFAULT_MTU, packet - ETHERNET_HEADER_BYTES),
});

const generate = (lab: Lab, packet: number, more: readonly string[] = []): Promise<Actor> => {
  const [pair] = lab.pairs;
  if (pair === undefined) throw new Error("the lab has no link");
  const how = isLarge(packet) ? ["xsk_tx", "--sg", "--budget", String(TX_BUDGET)] : ["xsk_gen"];
  const [program = "", ...options] = how;
  const time = timeArguments(GENERATOR_EXTRA_S, 0);
  const command = [...peer(program), pair.a.name, ...options, ...more, "--packet", String(packet), ...time];
  return start(lab, "a", SENDER_CORE, command).ready();
};

/** A program that counts what it receives itself. */
const receiving = (packet: number, begin: Start) => async (): Promise<Readings> => {
  using lab = Lab.create(labFor(packet));
  const program = await begin(lab, [lab.b.name]);
  await generate(lab, packet);
  return await program.result(RUN_S);
};

const sink = (lab: Lab, name: string): Promise<Actor> =>
  start(lab, "a", SENDER_CORE, [...peer("xdp_sink"), name, ...timeArguments()]).ready();

/** A program that sends; the far end counts what arrives there. */
export const sending = (begin: Start) => async (): Promise<Readings> => {
  using lab = Lab.create(labFor(SMALL_PACKET));
  const referee = await sink(lab, lab.a.name);
  await begin(lab, [lab.b.name]);
  return await referee.result(RUN_S);
};

/** A program between two links; the far end of the second counts what arrives there. `offered` says what the first one offers. */
export const forwarding =
  (begin: Start, offered: (lab: Lab) => readonly string[] = () => []) =>
  async (): Promise<Readings> => {
    using lab = Lab.create(labFor(SMALL_PACKET, 2));
    const [first, second] = lab.pairs;
    if (first === undefined || second === undefined) throw new Error("the lab has no two links");
    const referee = await sink(lab, second.a.name);
    await begin(lab, [first.b.name, second.b.name]);
    await generate(lab, SMALL_PACKET, offered(lab));
    return await referee.result(RUN_S);
  };

const testpmd = (run: () => Promise<Readings>): Contender[] => {
  if (isTestpmdInstalled()) return [{ name: "testpmd", run }];
  console.error("dpdk-testpmd is not installed (apt-get install dpdk): no lines against it");
  return [];
};

const conditions = (packet: number, detail: string): string =>
  `${machine()}; veth, native XDP, copy mode, need_wakeup, rings of 2048, umem 4096 x 2048 B, burst ${BURST}, ` +
  `${packet} B frames (without FCS), XDP_MAX_TX_SKB_BUDGET ${TX_BUDGET} on both sides; ${detail}; ${pinning}; ${timing}`;

const LIVE = "offered by BPF_PROG_TEST_RUN live frames";

export const measureReceive =
  (name: string, packet: number) =>
  (pairs: number): Promise<Line[]> => {
    const large = isLarge(packet);
    const command = large ? [...peer("xsk_rx"), "--sg"] : peer("xsk_rx");
    const offered = large
      ? `MTU ${LARGE_MTU}, several chunks to a packet, offered by a C program on AF_XDP`
      : LIVE;
    return hold(
      {
        metrics: [{ metric: "pps", name, unit: "pps" }],
        conditions: conditions(packet, `${offered}; the program counts`),
        millrace: { name: "millrace", run: receiving(packet, started(side("rx"), packet)) },
        peers: [
          { name: "c", run: receiving(packet, started(command, packet)) },
          ...(packet === SMALL_PACKET
            ? testpmd(() => testpmdReceive(labFor(packet), (lab) => generate(lab, packet)))
            : []),
        ],
      },
      pairs,
    );
  };

export const measureSmall = measureReceive("veth.rx", SMALL_PACKET);
export const measure1500 = measureReceive("veth.rx.1500", DEFAULT_MTU + ETHERNET_HEADER_BYTES);
export const measure9000 = measureReceive("veth.rx.9000", LARGE_MTU + ETHERNET_HEADER_BYTES);

const budget = ["--budget", String(TX_BUDGET)];

export const measureSend = (pairs: number): Promise<Line[]> =>
  hold(
    {
      metrics: [{ metric: "pps", name: "veth.tx", unit: "pps" }],
      conditions: conditions(SMALL_PACKET, "prebuilt frames; counted by an XDP program at the far end"),
      millrace: { name: "millrace", run: sending(started(side("tx"), SMALL_PACKET)) },
      peers: [
        { name: "c", run: sending(started([...peer("xsk_tx"), ...budget], SMALL_PACKET)) },
        ...testpmd(sending(testpmdSend)),
      ],
    },
    pairs,
  );

export const measureForward = (pairs: number): Promise<Line[]> =>
  hold(
    {
      metrics: [{ metric: "pps", name: "veth.forward", unit: "pps" }],
      conditions: conditions(
        SMALL_PACKET,
        `${LIVE}; one umem, in place; counted by an XDP program at the far end`,
      ),
      millrace: { name: "millrace", run: forwarding(started(side("forward"), SMALL_PACKET)) },
      peers: [
        { name: "c", run: forwarding(started([...peer("xsk_forward"), ...budget], SMALL_PACKET)) },
        ...testpmd(forwarding(testpmdForward)),
      ],
    },
    pairs,
  );

/** The virtual address and port of `sides/balance.ts`. */
const toService = (lab: Lab): string[] => [
  ...["--to", lab.pairs[0]!.b.mac],
  ...["--target", "10.77.0.100", "--port", "9000"],
];

/** The balancer against the driver that it stands on, which sends the same frames on and does not look at them. */
export const measureBalancer = async (pairs: number): Promise<Line[]> => {
  const balance = (...how: readonly string[]): (() => Promise<Readings>) =>
    forwarding(started([...side("balance"), ...how], SMALL_PACKET), toService);
  const plain = { name: "veth.forward", run: forwarding(started(side("forward"), SMALL_PACKET), toService) };
  const line = (name: string, run: () => Promise<Readings>, detail: string): Promise<Line[]> =>
    hold(
      {
        metrics: [{ metric: "pps", name, unit: "pps" }],
        conditions: conditions(
          SMALL_PACKET,
          `${LIVE}; one flow of UDP, three backends, ${detail}; one umem, in place; counted by an XDP program at the far end`,
        ),
        millrace: { name: "millrace", run },
        peers: [plain],
      },
      pairs,
    );
  return [
    ...(await line("balancer.forward", balance(), "direct server return")),
    ...(await line("balancer.forward.tunnel", balance("--tunnel"), "IP in IP")),
  ];
};
