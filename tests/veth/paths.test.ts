/** A host with two veths, in the kernel's own hands: its carrier, its interfaces, and a flow of a kHz that goes on. */
import { describe, expect, test } from "bun:test";
import { type PathSide, TwoPathLab } from "../../examples/two-path-lab.ts";
import {
  attach,
  Host,
  type HostEvent,
  type Interface,
  IpAddress,
  Loop,
  type Path,
  Prefix,
  type XdpDevice,
} from "../../index.ts";
import type { LinkEvent } from "../../stack/device/device.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { Lab, until } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { numbered, settleAccounts } from "../support/stream.ts";

const LIMIT_MS = 60_000;
const WAIT_MS = 15_000;
const PORT = 4242;
const SEQUENCE_BYTES = 4;
const ROUNDS = 200;
/** Of a flow of a kHz; a busy machine hears of a lost carrier late, and a cut of a second would be no failover. */
const MOST_LOST = 500;
type PathEvent = Extract<HostEvent, { kind: "path" }>;

interface Member {
  readonly host: Host;
  readonly devices: readonly XdpDevice[];
  readonly interfaces: readonly Interface[];
  readonly events: HostEvent[];
}

const member = (lab: TwoPathLab, loop: Loop, end: PathSide): Member => {
  const other = end === "host" ? "client" : "host";
  const host = new Host({ loop, paths: { verifyMs: 200, damping: false } });
  const events: HostEvent[] = [];
  host.on((event) => void events.push(event));
  const devices = lab.paths.map((path) => attach(path[end].name, { namespace: lab.namespace(end) }));
  const interfaces = lab.paths.map((path, i) =>
    host.join(devices[i]!, {
      addresses: [`${path[end].ipv4}/24`, `${path[end].ipv6}/64`],
      dad: false,
    }),
  );
  for (const family of [4, 6] as const) {
    host.addService(lab.addressOf(end)[family]);
    lab.paths.forEach((path, i) =>
      host.addRoute({
        prefix: Prefix.parse(`${lab.addressOf(other)[family]}/${family === 4 ? 32 : 128}`),
        gateway: IpAddress.parse(path[end].gateways[family]),
        interface: interfaces[i]!.index,
        metric: 10 + i,
        kind: "unicast",
      }),
    );
  }
  return { host, devices, interfaces, events };
};

/** A request a millisecond from the host, each with its number, and what became of it. */
class Flow {
  sent = 0;
  readonly answers = new Map<number, string[]>();
  readonly #by: string[] = [];

  constructor(loop: Loop, { host }: Member, from: string, to: string) {
    const socket = host.udp({ address: from }, (datagram) => {
      const number = datagram.view.getUint32(datagram.at);
      this.answers.set(number, [...(this.answers.get(number) ?? []), datagram.interface.name]);
      this.#by.push(datagram.interface.name);
    });
    loop.every(1, () => {
      const written = socket.send({ address: to, port: PORT }, SEQUENCE_BYTES, (view, at) =>
        view.setUint32(at, this.sent),
      );
      if (written) this.sent += 1;
    });
  }

  /** Waits until so many more answers have come over an interface, and none of them over another. */
  async over(name: string, count = ROUNDS): Promise<void> {
    let from = this.#by.length;
    await until(
      `${count} answers over ${name}`,
      () => {
        const last = this.#by.findLastIndex((one) => one !== name);
        if (last >= from) from = last + 1;
        return this.#by.length - from >= count;
      },
      WAIT_MS,
    );
  }

  /** Nothing came twice, and between the first answer and the last not more was lost than a gap. */
  judge(): void {
    for (const [number, by] of this.answers) expect([number, by.length]).toEqual([number, 1]);
    const numbers = [...this.answers.keys()];
    const asked = Math.max(...numbers) - Math.min(...numbers) + 1;
    expect(asked - numbers.length).toBeLessThan(MOST_LOST);
  }
}

test.skipIf(skipWithoutLab(Lab.unavailable()))(
  "a queue whose interface is shut stalls at the first frame, and recovers with it",
  async () => {
    using lab = Lab.create();
    using device = attach(lab.a.name, { namespace: lab.namespace("a"), bind: "copy" });
    const sender = new Transmitter(device.queues[0]!);
    const events: LinkEvent[] = [];
    const told = (kind: LinkEvent["kind"]): Promise<boolean> =>
      until(`the event "${kind}"`, () => {
        device.queues[0]!.flush();
        for (let event = device.takeLinkEvent(); event !== undefined; event = device.takeLinkEvent())
          events.push(event);
        return events.some((event) => event.kind === kind);
      });
    lab.exec("a", ["ip", "link", "set", lab.a.name, "down"]);
    sender.sendBytes(numbered(0, 60));
    device.queues[0]!.flush();
    expect(device.queues[0]!.inFlight).toBe(1);
    // What the socket found comes before what rtnetlink has to say of it.
    expect(device.takeLinkEvent()).toEqual({
      kind: "stalled",
      queue: 0,
      reason: "sendto: ENETDOWN: the interface is down",
    });
    await told("down");
    lab.exec("a", ["ip", "link", "set", lab.a.name, "up"]);
    await told("recovered");
    await until("nothing is in flight", () => {
      device.queues[0]!.flush();
      return device.queues[0]!.inFlight === 0;
    });
    expect(events.filter(({ kind }) => kind === "stalled" || kind === "recovered")).toEqual([
      { kind: "recovered", queue: 0 },
    ]);
    settleAccounts(device);
  },
  LIMIT_MS,
);

describe.skipIf(skipWithoutLab(TwoPathLab.unavailable()))("a host of two veths", () => {
  const scene = async (
    family: 4 | 6,
    act: (lab: TwoPathLab, flow: Flow, near: Member) => Promise<void>,
  ): Promise<void> => {
    using lab = TwoPathLab.create({ shape: "switched", client: "program", host: "program" });
    const errors: unknown[] = [];
    const loop = new Loop({ onError: (error) => void errors.push(error) });
    const near = member(lab, loop, "host");
    const far = member(lab, loop, "client");
    far.host.udp(PORT, (datagram) => void datagram.reply());
    void loop.run();
    const flow = new Flow(loop, near, lab.service[family], lab.caller[family]);
    try {
      await flow.over(near.interfaces[0]!.name);
      await act(lab, flow, near);
      flow.judge();
      expect(errors).toEqual([]);
    } finally {
      for (const { host } of [near, far]) host.close();
      loop.stop();
      for (const device of [...near.devices, ...far.devices]) {
        if (device.open) settleAccounts(device);
        device.close();
      }
      loop.close();
    }
  };
  const pathOf = ({ host, interfaces }: Member, i: number, family: 4 | 6): Path =>
    [...host.paths.values()].find(
      (path) =>
        path.interface === interfaces[i]!.index && path.family === family && path.gateway !== undefined,
    )!;
  const changes = ({ events }: Member, path: Path): string[] =>
    events
      .filter((event): event is PathEvent => event.kind === "path" && event.path === path)
      .map(({ state, reason }) => `${state}: ${reason}`);

  const links = ({ events }: Member): string[] =>
    events.flatMap((event) => (event.kind === "link" ? [event.change.kind] : []));

  for (const family of [4, 6] as const) {
    test(
      `IPv${family}: goes on over the second when the first loses its carrier, and back when that is verified`,
      async () => {
        await scene(family, async (lab, flow, near) => {
          const path = pathOf(near, 0, family);
          const [first, second] = near.interfaces.map(({ name }) => name);
          await lab.carrier(0, "both", false);
          await flow.over(second!);
          expect(path.state).toBe("down");
          await lab.carrier(0, "both", true);
          await until("the first path is up", () => path.state === "up", WAIT_MS);
          await flow.over(first!);
          expect(changes(near, path)).toEqual(["up: new", "down: link", "verifying: link", "up: verified"]);
          expect(path.statistics()).toMatchObject({ downs: 1 });
          expect(pathOf(near, 1, family).statistics().sent).toBeGreaterThanOrEqual(ROUNDS);
        });
      },
      LIMIT_MS,
    );
  }

  test(
    "knows that a device has no carrier which lost it before it was attached",
    async () => {
      using lab = Lab.create({ pairs: 1 });
      const peer = (state: string): void => void lab.exec("a", ["ip", "link", "set", lab.a.name, state]);
      const shown = (): string => lab.exec("b", ["ip", "link", "show", lab.b.name]).stdout;
      peer("down");
      await until("the carrier is gone", () => shown().includes("NO-CARRIER"), WAIT_MS);
      using loop = new Loop();
      using device = attach(lab.b.name, { namespace: lab.namespace("b") });
      expect(device.up).toBe(false);
      using host = new Host({ loop, paths: { verifyMs: 50 } });
      host.join(device, { addresses: ["10.66.0.2/24"], gateway: "10.66.0.1", linkLocal: false });
      const path = host.paths.find({ gateway: "10.66.0.1" })!;
      expect([path.state, path.reason]).toEqual(["down", "link"]);
      void loop.run();
      peer("up");
      await until("the path is up", () => path.state === "up", WAIT_MS);
      expect(device.up).toBe(true);
      loop.stop();
    },
    LIMIT_MS,
  );

  test(
    "goes on when the first is shut by its owner, whatever tells of it first, and comes back",
    async () => {
      await scene(4, async (lab, flow, near) => {
        const path = pathOf(near, 0, 4);
        const [first, second] = near.interfaces.map(({ name }) => name);
        const ip = (state: string): void => void lab.lab.exec("b", ["ip", "link", "set", first!, state]);
        ip("down");
        await flow.over(second!);
        expect(path.state).toBe("down");
        expect(["stalled", "link"]).toContain(changes(near, path)[1]!.replace("down: ", ""));
        ip("up");
        await until("the first path is up", () => path.state === "up", WAIT_MS);
        await flow.over(first!);
      });
    },
    LIMIT_MS,
  );

  test(
    "goes on when the first is deleted, for good",
    async () => {
      await scene(4, async (lab, flow, near) => {
        const path = pathOf(near, 0, 4);
        const [first, second] = near.interfaces.map(({ name }) => name);
        lab.lab.exec("b", ["ip", "link", "del", first!]);
        await flow.over(second!);
        expect([path.state, path.reason, path.live]).toEqual(["down", "route", false]);
        // Its end comes in two parts: the carrier, then the interface.
        expect(changes(near, path)).toEqual(["up: new", "down: link"]);
        expect(links(near)).toEqual(["down", "gone"]);
        expect(near.host.interfaces.map(({ name }) => name)).toEqual([second!]);
      });
    },
    LIMIT_MS,
  );
});
