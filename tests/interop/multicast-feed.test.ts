/**
 * Feeds and redundant sending against kernel sockets over two paths that lose 5 % each, by nftables: what is handed on is what
 * either path brought, and tshark has nothing against what we send. Then the example, as a person runs it.
 */
import { describe, expect, test } from "bun:test";
import { TwoPathLab } from "../../examples/two-path-lab.ts";
import { attach, FeedArbiter, Host, Loop, redundant, type XdpDevice } from "../../index.ts";
import { copies, LAST, publisher } from "../support/feed-peers.ts";
import { Example } from "../support/example.ts";
import { until } from "../support/lab.ts";
import { need, ping } from "../support/peer-tools.ts";
import { skipWithoutLab } from "../support/skip.ts";
import { settleAccounts } from "../support/stream.ts";
import { dissect, tell, WireCapture } from "../support/wire-capture.ts";

const LIMIT_MS = 120_000;
const PATIENCE_MS = 60_000;
/** Nobody in tshark knows it. */
const PORT = 50_200;
const COUNT = 4000;
const SESSION = 7;
/** Says that the feed is over; it is none of the feed. */
const END_SESSION = 8;
const PPS = 2000;
const LOSS = 0.05;
/** Of 4000 numbers 200 are lost on a side, give or take 14; six times that is no accident. */
const [FEWEST_LOST, MOST_LOST] = [110, 290];
/** Far above what the paths differ by; from the moment on at which we see a gap, so that our own stalls do not count. */
const WAIT_MS = 500;
/** More than come meanwhile. */
const HOLD = 2048;

const noLab = skipWithoutLab(TwoPathLab.unavailable());
const without = (...names: string[]): boolean => noLab || need("nft", "tcpdump", "tshark", ...names);

/** A host of ours with an interface on each of two paths, and the kernel at the other end. */
class TwoPathBed {
  readonly lab = TwoPathLab.create({ shape: "switched", host: "program", client: "kernel" });
  readonly errors: unknown[] = [];
  readonly loop = new Loop({ spinMs: 0, onError: (error) => void this.errors.push(error) });
  readonly host = new Host({ loop: this.loop });
  readonly devices: readonly XdpDevice[];
  #captures: WireCapture[] = [];

  private constructor() {
    this.devices = this.lab.paths.map(({ host }) => {
      const device = attach(host.name, { namespace: this.lab.namespace("host") });
      this.host.join(device, { addresses: [`${host.ipv4}/24`, `${host.ipv6}/64`], dad: false });
      return device;
    });
  }

  static async start(): Promise<TwoPathBed> {
    const bed = new TwoPathBed();
    try {
      for (const { middle, towards, host } of bed.lab.paths) {
        const options = { interface: towards.host, filter: `ether src ${host.mac}` };
        bed.#captures.push(await WireCapture.start(bed.lab.lab, middle, options));
      }
      void bed.loop.run();
      // Who has which Ethernet address is asked while nothing is lost.
      for (const { host } of bed.lab.paths) await ping({ lab: bed.lab.lab, side: "a" }, host.ipv4);
      return bed;
    } catch (error) {
      bed.close();
      throw error;
    }
  }

  /** Loses a share of all frames of both paths from now on. */
  async lose(share: number): Promise<void> {
    for (const { number } of this.lab.paths) await this.lab.drop(number, "both", { share });
  }

  /** Ends the host; everything must be back, nobody may have thrown, and every frame of ours is well made. */
  async finish(): Promise<void> {
    this.host.close();
    settleAccounts(...this.devices);
    expect(this.errors).toEqual([]);
    for (const [i, capture] of this.#captures.entries()) {
      const file = await capture.stop();
      const dissection = await dissect(file, { mac: this.lab.paths[i]!.host.mac, dataPorts: [PORT] });
      expect(tell(dissection)).toBe("");
      expect(dissection.frames).toBeGreaterThan(0);
    }
  }

  close(): void {
    this.host.close();
    this.loop.close();
    for (const device of this.devices) device.close();
    for (const capture of this.#captures) capture.close();
    this.lab.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe.skipIf(without("python3"))("a feed over two paths that lose 5 % each", () => {
  test.each([
    ["IPv4", ["239.77.0.1", "239.77.0.2"]],
    ["IPv6", ["ff15::77:1", "ff15::77:2"]],
  ])(
    "is handed on in order, without what neither brought and nothing else (%s)",
    async (_, groups) => {
      using bed = await TwoPathBed.start();
      const { paths, lab } = bed.lab;
      const brought = groups.map(() => new Set<number>());
      let ends = 0;
      const handed: number[] = [];
      const lost: number[] = [];
      using feed = new FeedArbiter(
        bed.loop,
        {
          sequence: (view, at) => view.getUint32(at + 4),
          session: (view, at) => view.getUint32(at),
          first: 0,
          waitMs: WAIT_MS,
          hold: HOLD,
          onLost: (first, count) => void lost.push(...upTo(count).map((i) => first + i)),
        },
        (datagram, sequence) => {
          expect(datagram.length).toBe(32);
          handed.push(sequence);
        },
      );
      for (const [i, group] of groups.entries()) {
        // Sockets of its own, to write down what each path brings before the feed sees it.
        const name = paths[i]!.host.name;
        const side = feed.addSide(name);
        const socket = bed.host.udp({ port: PORT, interface: name, reuse: true }, (datagram) => {
          if (datagram.view.getUint32(datagram.at) === END_SESSION) {
            ends += 1;
            return;
          }
          brought[i]!.add(datagram.view.getUint32(datagram.at + 4));
          feed.take(datagram, side);
        });
        socket.join(group, { interface: name });
      }
      await bed.lose(LOSS);
      const sides = groups.flatMap((group, i) => [group, PORT, paths[i]!.client.name]);
      const run = async (count: number, session: number): Promise<void> => {
        const program = lab.spawn("a", publisher(count, PPS, session, ...sides));
        expect(await program.stdout.text()).toBe(`published ${count}\n`);
      };
      await run(COUNT, SESSION);
      // What comes last over a path that loses nothing any more comes after all the rest.
      await bed.lose(0);
      await run(1, END_SESSION);
      await until("the end over both paths", () => ends === groups.length, PATIENCE_MS);
      feed.flush();
      const either = upTo(COUNT).filter((n) => brought.some((side) => side.has(n)));
      const end = either.at(-1)! + 1;
      expect(handed).toEqual(either);
      expect(lost).toEqual(upTo(end).filter((n) => !brought.some((side) => side.has(n))));
      for (const side of brought) {
        expect(COUNT - side.size).toBeGreaterThan(FEWEST_LOST);
        expect(COUNT - side.size).toBeLessThan(MOST_LOST);
      }
      const { delivered, held, forced, sides: scores, ...counts } = feed.statistics();
      expect([delivered, counts.lost, held, forced]).toEqual([either.length, lost.length, 0, 0]);
      for (const [i, { received, first, second, filled, tooLate, repeated }] of scores.entries()) {
        expect([received, tooLate, repeated]).toEqual([brought[i]!.size, 0, 0]);
        expect(first + second).toBe(received);
        // Of what the other side lost it brought nearly all.
        expect(filled).toBeGreaterThan(0);
      }
      feed.close();
      await bed.finish();
    },
    LIMIT_MS,
  );
});

describe.skipIf(without("python3"))("redundant sending over two paths that lose 5 % each", () => {
  test(
    "to and from a program that knows the header and nothing else",
    async () => {
      using bed = await TwoPathBed.start();
      const { paths, lab } = bed.lab;
      const heard: number[] = [];
      const remote = paths.map(({ client }) => ({ address: client.ipv4, port: PORT }));
      using socket = redundant(bed.host, { port: PORT, remote }, (datagram, at, length) => {
        expect(length).toBe(4);
        heard.push(datagram.view.getUint32(at));
      });
      const program = lab.spawn(
        "a",
        copies(COUNT, PPS, PORT, ...paths.flatMap(({ host, client }) => [host.ipv4, client.ipv4])),
        { stdin: "pipe" },
      );
      let said = "";
      const reading = (async () => {
        const decoder = new TextDecoder();
        for await (const part of program.stdout) said += decoder.decode(part, { stream: true });
      })();
      await until("its first datagram", () => heard.length > 0, PATIENCE_MS);
      await bed.lose(LOSS);
      let sent = 0;
      const payload = new DataView(new ArrayBuffer(4));
      await new Promise<void>((resolve) => {
        const timer = bed.loop.every(1, () => {
          for (let i = 0; i < 2 && sent < COUNT; i++) {
            payload.setUint32(0, sent);
            if (socket.send(new Uint8Array(payload.buffer)) > 0) sent += 1;
          }
          if (sent < COUNT) return;
          timer.cancel();
          resolve();
        });
      });
      await until("the program to have sent all", () => said.includes("sent\n"), PATIENCE_MS);
      await bed.lose(0);
      program.stdin!.write("\n");
      program.stdin!.flush();
      payload.setUint32(0, LAST);
      expect(socket.send(new Uint8Array(payload.buffer))).toBe(paths.length);
      await until("its last number", () => heard.at(-1) === LAST, PATIENCE_MS);
      await reading;
      const lines = said.trim().split("\n");
      const [all = 0, different = 0, ...numbers] = lines[1]!.split(" ").map(Number);
      const { received, duplicates, missing, stale, malformed, streams, paths: scores } = socket.statistics();
      expect([stale, malformed, streams]).toEqual([0, 0, 1]);
      expect(new Set(heard).size).toBe(heard.length);
      expect(received).toBe(heard.length);
      // Each path lost some, so that a few of a thousand came over neither: 5 % of 5 %.
      expect(received + duplicates).toBeLessThan(2 * COUNT - FEWEST_LOST);
      expect(received).toBeGreaterThan(COUNT - 50);
      // The last one has a number in the stream too; losses began after the first.
      expect([heard[0], missing]).toEqual([0, COUNT + 1 - heard.length]);
      // In the order in which they were first heard, which is nobody's to say.
      expect(scores.map(({ interface: name }) => name).sort()).toEqual(
        paths.map(({ host }) => host.name).sort(),
      );
      // What went out of here.
      const { ways } = socket.remote!.statistics();
      expect(ways.map((way) => way.sent + way.refused + way.skipped)).toEqual([COUNT + 1, COUNT + 1]);
      expect(different).toBeGreaterThan(COUNT - 50);
      expect(all).toBeLessThan(2 * COUNT - FEWEST_LOST);
      expect(new Set(numbers).size).toBe(different);
      socket.close();
      await bed.finish();
    },
    LIMIT_MS,
  );
});

describe.skipIf(noLab)("the example alone", () => {
  interface Shown {
    readonly delivered: number;
    readonly lost: number;
    readonly sides: readonly { readonly first: number; readonly filled: number }[];
  }

  test(
    "--json shows gaps that either side fills, and Ctrl-C ends it without a trace",
    async () => {
      using example = new Example("multicast-feed", ["--json", "--loss", "20", "--wait", "500"]);
      const filled = (await example.record("gaps that both sides fill", (each) => {
        const { sides } = each as unknown as Shown;
        return sides.every((side) => side.filled > 0 && side.first > 0);
      })) as unknown as Shown;
      expect(filled.delivered).toBeGreaterThan(100);
      expect(filled.lost).toBeLessThan(filled.delivered / 5);
      expect(await example.end()).toBe(0);
      expect(await example.stderr).toBe("");
    },
    LIMIT_MS,
  );

  test(
    "text for people, over IPv6 too",
    async () => {
      using example = new Example("multicast-feed", [
        "--group",
        "[ff15::77]:9100",
        "--count",
        "2000",
        "--rate",
        "1000",
      ]);
      await example.line("what is heard", (line) => /[1-9][\d,]* in order/.test(line));
      expect(example.lines[0]).toBe("ff15::77 port 9100 on vb0, 239.77.0.2 port 9100 on vb1; Ctrl-C ends");
      expect(await example.ended()).toBe(0);
      expect(example.text).toMatch(/ff15::77 vb0 +█*░* +[\d.]+ % first/);
      expect(example.text).toMatch(/[\d,]+ handed on in order, /);
    },
    LIMIT_MS,
  );

  test(
    "wrong arguments",
    async () => {
      for (const [args, says] of [
        [["--publish"], "--publish needs two interfaces"],
        [["eth0"], "takes 2 interfaces"],
        [["--group", "10.0.0.1:9"], "--group is GROUP:PORT"],
        [["--loss", "101"], "--loss"],
      ] as const) {
        using example = new Example("multicast-feed", args);
        expect(await example.ended()).toBe(2);
        expect(await example.stderr).toContain(says);
      }
    },
    LIMIT_MS,
  );
});
