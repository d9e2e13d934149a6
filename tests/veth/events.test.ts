/**
 * Bad days of an interface while it is attached: each comes as an event or error with a name, the loop rests, every chunk
 * is accounted for, and the interface can be attached to again.
 */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import {
  attach,
  type AttachOptions,
  type DeviceEvent,
  Loop,
  SystemError,
  Umem,
  type XdpDevice,
} from "../../index.ts";
import type { Queue } from "../../stack/device/device.ts";
import type { Lease } from "../../stack/device/frame.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { programOn } from "../support/kernel-objects.ts";
import { Lab, until, type LabOptions, type Side } from "../support/lab.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { numbered, settleAccounts, stream } from "../support/stream.ts";

const SMALL = 60;
const CHUNKS = 512;
const RINGS: AttachOptions = { rings: { rx: 64, tx: 64, fill: 64, completion: 64 }, bind: "copy" };
/** Over which a loop's rest is measured. */
const REST_MS = 300;
/** With a timer each millisecond a resting loop takes up to four turns a millisecond. A spin takes a thousand. */
const MAX_RESTING_TURNS = 10 * REST_MS;
/** A spin takes all of it. */
const MAX_RESTING_CPU_MS = REST_MS / 2;
const US_PER_MS = 1000;

/** An attached device at side b, in a running loop that remembers its link's events. */
interface Scene {
  readonly lab: Lab;
  readonly device: XdpDevice;
  readonly peer: XdpDevice;
  readonly loop: Loop;
  readonly events: DeviceEvent[];
  readonly ip: (side: Side, command: string) => void;
  /** Frames that the device has received. */
  readonly received: () => number;
  /** Waits for an event of this kind. */
  readonly told: <K extends DeviceEvent["kind"]>(kind: K) => Promise<Extract<DeviceEvent, { kind: K }>>;
}

/** Packets from a device, one a millisecond, for as long as the loop runs. */
const load = (loop: Loop, queue: Queue): void => {
  const sender = new Transmitter(queue);
  const packet = numbered(0, SMALL);
  loop.every(1, () => void sender.sendBytes(packet));
};

/** Over a while, the loop must neither spin nor burn the processor. */
const expectRest = async (loop: Loop): Promise<void> => {
  const { turns } = loop.statistics();
  const before = process.cpuUsage();
  await Bun.sleep(REST_MS);
  const { user, system } = process.cpuUsage(before);
  expect(loop.statistics().turns - turns).toBeLessThan(MAX_RESTING_TURNS);
  expect((user + system) / US_PER_MS).toBeLessThan(MAX_RESTING_CPU_MS);
};

/** Sets the scene, has it played, and checks that every chunk is back in the pool when the device is closed. */
const play = async (
  xdp: "generic" | "native",
  act: (scene: Scene) => Promise<void>,
  options: AttachOptions = {},
  labOptions: LabOptions = {},
): Promise<void> => {
  using lab = Lab.create({ quiet: true, ...labOptions });
  using umem = new Umem({ chunks: CHUNKS });
  const device = attach(lab.b.name, { namespace: lab.namespace("b"), xdp, ...RINGS, umem, ...options });
  const peer = attach(lab.a.name, { namespace: lab.namespace("a"), ...RINGS, chunks: CHUNKS });
  const errors: unknown[] = [];
  const loop = new Loop({ onError: (error) => void errors.push(error) });
  const events: DeviceEvent[] = [];
  let received = 0;
  loop.receive(device, () => void (received += 1));
  loop.link(device, (event) => void events.push(event));
  loop.link(peer, () => undefined);
  void loop.run();
  const told = <K extends DeviceEvent["kind"]>(kind: K): Promise<Extract<DeviceEvent, { kind: K }>> =>
    until(`the event "${kind}"`, () =>
      events.find((event): event is Extract<DeviceEvent, { kind: K }> => event.kind === kind),
    );
  const ip = (side: Side, command: string): void => void lab.exec(side, ["ip", ...command.split(" ")]);
  try {
    await act({ lab, device, peer, loop, events, ip, received: () => received, told });
    expect(errors).toEqual([]);
  } finally {
    loop.close();
    device.close();
    peer.close();
  }
  expect(umem.accounts()).toEqual({ pool: CHUNKS, fill: 0, lent: 0, kept: 0, tx: 0, total: CHUNKS });
};

/** The device is attached to again and works; for interfaces that still have the name and namespace they had. */
const expectReattach = (
  lab: Lab,
  xdp: "generic" | "native",
  name: string = lab.b.name,
  side: Side = "b",
): void => {
  using device = attach(name, { namespace: lab.namespace(side), xdp, ...RINGS });
  using peer = attach(lab.a.name, { namespace: lab.namespace("a"), ...RINGS });
  stream(peer, device, { count: 200, length: () => SMALL, window: 16 });
  settleAccounts(device, peer);
};

const makePair = ({ lab, ip }: Scene): void => {
  ip("b", `link add ${lab.b.name} type veth peer name ${lab.a.name} netns ${lab.namespace("a")}`);
  ip("b", `link set ${lab.b.name} up`);
  ip("a", `link set ${lab.a.name} up`);
};

describe.skipIf(skipWithoutLab(Lab.unavailable())).each(["generic", "native"] as const)("%s mode", (xdp) => {
  test.each([
    ["the interface", "b"],
    ["its peer", "a"],
  ] as const)("%s is deleted", async (_what, side) => {
    await play(xdp, async (scene) => {
      const { lab, device, peer, loop, ip, told } = scene;
      load(loop, peer.queues[0]!);
      load(loop, device.queues[0]!);
      await until("traffic", () => scene.received() > 10);
      ip(side, `link del ${lab[side].name}`);
      expect((await told("gone")).reason).toContain("deleted");
      expect(device.open).toBe(false);
      await until("both to leave the loop", () => loop.statistics().devices === 0);
      await expectRest(loop);
      expect(device.takeLinkEvent()).toBeUndefined();
      expect(scene.events.filter(({ kind }) => kind === "gone").length).toBe(1);
      device.close();
      peer.close();
      makePair(scene);
      expectReattach(lab, xdp);
    });
  });

  test("down and up under load: events, and traffic flows again", async () => {
    await play(xdp, async (scene) => {
      const { lab, device, peer, loop, events, ip, told } = scene;
      load(loop, peer.queues[0]!);
      await until("traffic", () => scene.received() > 10);
      for (let round = 0; round < 5; round++) {
        events.length = 0;
        ip("b", `link set ${lab.b.name} down`);
        await told("down");
        expect(device.open).toBe(true);
        ip("b", `link set ${lab.b.name} up`);
        await told("up");
        const before = scene.received();
        await until("traffic after the link is up again", () => scene.received() > before + 10);
      }
      loop.close();
      settleAccounts(device, peer);
      device.close();
      peer.close();
      expectReattach(lab, xdp);
    });
  });

  test("down: the loop rests, also while there is something to send", async () => {
    await play(xdp, async ({ lab, device, loop, ip, told }) => {
      ip("b", `link set ${lab.b.name} down`);
      await told("down");
      await expectRest(loop);
      const sender = new Transmitter(device.queues[0]!);
      for (let n = 0; n < 10; n++) expect(sender.sendBytes(numbered(n, SMALL))).toBe(true);
      await until("the send to be refused", () => device.queues[0]!.statistics().txLinkDown > 0);
      expect(device.umem.accounts()).toMatchObject({ tx: 10, lent: 0 });
      await expectRest(loop);
      ip("b", `link set ${lab.b.name} up`);
      await told("up");
      await until("what was sent meanwhile to leave", () => device.umem.accounts().tx === 0);
    });
  });

  test("closed while down with frames to send: they come back", async () => {
    await play(xdp, async ({ lab, device, ip, told }) => {
      ip("b", `link set ${lab.b.name} down`);
      await told("down");
      const sender = new Transmitter(device.queues[0]!);
      for (let n = 0; n < 64; n++) expect(sender.sendBytes(numbered(n, SMALL))).toBe(true);
      expect(sender.sendBytes(numbered(64, SMALL))).toBe(false);
      expect(device.umem.accounts()).toMatchObject({ tx: 64, lent: 0 });
      expect(device.statistics().txFull).toBe(1);
    });
  });

  test("a new MTU, within the limits and beyond them", async () => {
    await play(
      xdp,
      async (scene) => {
        const { lab, device, events, ip, told } = scene;
        ip("b", `link set ${lab.b.name} mtu 1400`);
        expect(await told("mtu")).toEqual({ kind: "mtu", mtu: 1400 });
        expect(device.mtu).toBe(1400);
        events.length = 0;
        const refused = lab.exec("b", ["ip", "link", "set", lab.b.name, "mtu", "100000"], { check: false });
        expect(refused.code).not.toBe(0);
        // The larger size goes first where what is sent must arrive.
        ip("b", `link set ${lab.b.name} mtu 9000`);
        ip("a", `link set ${lab.a.name} mtu 9000`);
        expect(await told("mtu")).toEqual({ kind: "mtu", mtu: 9000 });
        expect(events.length).toBe(1);
        expect(device.mtu).toBe(9000);
        scene.loop.close();
        stream(scene.peer, device, { count: 100, length: (n) => (n % 2 === 0 ? SMALL : 8000), window: 8 });
        settleAccounts(device, scene.peer);
        device.close();
        scene.peer.close();
        expectReattach(lab, xdp);
      },
      { multiBuffer: true },
    );
  });

  test("another MAC address", async () => {
    await play(xdp, async ({ lab, device, peer, loop, ip, told }) => {
      ip("b", `link set ${lab.b.name} address 02:00:00:00:77:77`);
      const mac = new Uint8Array([2, 0, 0, 0, 0x77, 0x77]);
      expect(await told("address")).toEqual({ kind: "address", mac });
      expect(device.mac).toEqual(mac);
      loop.close();
      stream(peer, device, { count: 100, length: () => SMALL, window: 16 });
      settleAccounts(device, peer);
    });
  });

  test("another name", async () => {
    await play(xdp, async ({ lab, device, peer, loop, ip, told }) => {
      ip("b", `link set ${lab.b.name} name renamed0`);
      expect(await told("renamed")).toEqual({ kind: "renamed", name: "renamed0" });
      expect(device.name).toBe("renamed0");
      loop.close();
      stream(peer, device, { count: 100, length: () => SMALL, window: 16 });
      settleAccounts(device, peer);
      device.close();
      peer.close();
      expect(programOn(lab, "b", "renamed0")).toBeUndefined();
      expectReattach(lab, xdp, "renamed0");
    });
  });

  test("moved to another namespace while attached: gone, and nothing stays on the interface", async () => {
    await play(xdp, async (scene) => {
      const { lab, device, peer, loop, ip, told } = scene;
      load(loop, peer.queues[0]!);
      load(loop, device.queues[0]!);
      await until("traffic", () => scene.received() > 10);
      ip("b", `link set ${lab.b.name} netns ${lab.namespace("a")}`);
      expect((await told("gone")).reason).toContain("moved to another network namespace");
      expect(device.open).toBe(false);
      expect(scene.events.filter(({ kind }) => kind === "gone").length).toBe(1);
      await until("it to leave the loop", () => loop.statistics().devices === 1);
      device.close();
      peer.close();
      loop.close();
      expect(programOn(lab, "a", lab.b.name)).toBeUndefined();
      ip("a", `link set ${lab.b.name} up`);
      ip("a", `link set ${lab.a.name} up`);
      expectReattach(lab, xdp, lab.b.name, "a");
    });
  });

  const ethtool = (lab: Lab, side: "a" | "b", count: number) =>
    lab.exec(side, ["ethtool", "-L", lab[side].name, "rx", String(count), "tx", String(count)], {
      check: false,
    });

  test("fewer channels while every queue is served: the kernel refuses, and nothing changes", async () => {
    await play(
      xdp,
      async ({ lab, device, peer, loop }) => {
        for (const side of ["a", "b"] as const) {
          const refused = ethtool(lab, side, 2);
          expect(refused.code).not.toBe(0);
          expect(refused.stderr).toContain("AF_XDP");
        }
        loop.close();
        stream(peer, device, { count: 4, length: () => SMALL, window: 1 });
        settleAccounts(device, peer);
        expect(device.queues.length).toBe(4);
        device.close();
        peer.close();
        await until("the kernel to let go of the sockets", () => ethtool(lab, "a", 2).code === 0);
        await until("the kernel to let go of the sockets", () => ethtool(lab, "b", 2).code === 0);
        using again = attach(lab.b.name, { namespace: lab.namespace("b"), xdp, ...RINGS });
        expect(again.queues.length).toBe(2);
        settleAccounts(again);
      },
      {},
      { queues: 4 },
    );
  });

  test("fewer and more channels beside the one queue that is served", async () => {
    await play(
      xdp,
      async ({ lab, device, peer, loop }) => {
        peer.close();
        loop.close();
        await until("the kernel to let go of the peer's sockets", () => ethtool(lab, "a", 2).code === 0);
        expect(ethtool(lab, "b", 2).code).toBe(0);
        {
          using sender = attach(lab.a.name, { namespace: lab.namespace("a"), queues: [0], ...RINGS });
          stream(sender, device, { count: 100, length: () => SMALL, window: 16 });
          settleAccounts(device, sender);
        }
        expect(ethtool(lab, "b", 4).code).toBe(0);
        expect(device.queues.length).toBe(1);
        expect(device.open).toBe(true);
        device.close();
        using four = attach(lab.b.name, { namespace: lab.namespace("b"), xdp, ...RINGS });
        expect(four.queues.length).toBe(4);
        settleAccounts(four);
      },
      { queues: [0] },
      { queues: 4 },
    );
  });

  test("the namespace's name is deleted while attached: the device works on, its end is the namespace's", async () => {
    await play(xdp, async ({ lab, device, peer, loop, ip }) => {
      const name = lab.namespace("b");
      ip("a", `netns del ${name}`);
      expect(existsSync(`/run/netns/${name}`)).toBe(false);
      loop.close();
      stream(peer, device, { count: 100, length: () => SMALL, window: 16 });
      // Handing a frame to the kernel means to enter the namespace, whose name nobody knows any more.
      const leases: Lease[] = [];
      stream(peer, device, {
        count: 8,
        length: () => SMALL,
        then: (frame) => void leases.push(frame.keep()),
      });
      device.setClaims([]);
      for (const lease of leases) expect(lease.pass()).toBe(true);
      expect(device.queues[0]!.statistics()).toMatchObject({ passed: 8, passFailed: 0 });
      settleAccounts(device, peer);
      expect(() => attach(lab.b.name, { namespace: name })).toThrow(SystemError);
      device.close();
      await until("the namespace to go, and our peer with it", () => peer.takeLinkEvent()?.kind === "gone");
    });
  });
});
