/** Captures: what we write tshark reads, what Wireshark's tools write we read, and no bytes make the reader stumble. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { CaptureReader } from "../../stack/device/capture.ts";
import { createBurst } from "../../stack/device/frame.ts";
import { createLink } from "../../stack/device/memory.ts";
import { record } from "../../stack/device/record.ts";
import { Replay } from "../../stack/device/replay.ts";
import { DIRECTION, PcapngWriter, type PcapngOptions } from "../../stack/device/pcapng.ts";
import { MemoryUmem } from "../../stack/device/pool.ts";
import { Transmitter } from "../../stack/device/transmit.ts";
import { Loop } from "../../stack/loop/loop.ts";
import { deviceContract, expectWhole } from "../support/device-contract.ts";
import { ManualWaiter, VirtualClock } from "../support/virtual.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-pcap-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const hasTool = (name: string): boolean => Bun.which(name) !== null;
const without = ["tshark", "capinfos", "editcap", "mergecap"].filter((name) => !hasTool(name));
if (without.length > 0)
  console.warn(`skipped: Wireshark's ${without.join(", ")} not installed (apt-get install tshark)`);
const withTools = test.skipIf(without.length > 0);

const tool = (...command: string[]): string => {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
};

/** Gathers a file in memory. */
const collector = (options: Partial<PcapngOptions> = {}) => {
  const parts: Uint8Array[] = [];
  const writer = new PcapngWriter({ sink: (bytes) => void parts.push(bytes.slice()), ...options });
  return { writer, parts, file: () => new Uint8Array(Buffer.concat(parts)) };
};

const EPOCH = { seconds: 1_789_000_000, nanoseconds: 123_456_789 };

const packetOf = (number: number, length: number): Uint8Array => {
  const packet = Uint8Array.from({ length }, (_, i) => (i * 3 + number) & 0xff);
  packet.set([0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x88, 0xb5]);
  return packet;
};

const sample = (count: number) => {
  const { writer, file } = collector({ epoch: EPOCH });
  const ids = [
    writer.addInterface({ name: "veth0", mac: Uint8Array.of(2, 0, 0, 0, 0, 1) }),
    writer.addInterface({ name: "veth1" }),
  ];
  const packets = Array.from({ length: count }, (_, i) => packetOf(i, 60 + (i % 7) * 201));
  packets.forEach((packet, i) => {
    const direction = i % 3 === 0 ? DIRECTION.outbound : DIRECTION.inbound;
    writer.packet(ids[i % 2]!, i * 1000 + i * 0.001, direction, packet, 0, packet.length);
  });
  writer.setDropped(0, 7);
  writer.close(count * 1000);
  return { packets, bytes: file() };
};

const readAll = (bytes: Uint8Array) => {
  const reader = new CaptureReader(bytes);
  const packets: {
    time: string;
    bytes: Uint8Array;
    interfaceId: number;
    direction: number;
    originalLength: number;
  }[] = [];
  while (reader.next()) {
    const { at, length, seconds, nanoseconds, interfaceId, direction, originalLength } = reader.packet;
    const time = `${seconds}.${String(nanoseconds).padStart(9, "0")}`;
    packets.push({ time, bytes: bytes.slice(at, at + length), interfaceId, direction, originalLength });
  }
  return { reader, packets };
};

const timeOf = (i: number): string => {
  const nanoseconds = EPOCH.nanoseconds + i * 1000;
  return `${EPOCH.seconds + i}.${String(nanoseconds).padStart(9, "0")}`;
};

describe("writing", () => {
  test("and reading gives the same packets, times, interfaces and directions", () => {
    const { packets, bytes } = sample(50);
    const { reader, packets: read } = readAll(bytes);
    expect(reader.trouble).toBeUndefined();
    expect([reader.malformed, reader.skipped]).toEqual([0, 2]);
    expect(reader.interfaces.map((each) => each.name)).toEqual(["veth0", "veth1"]);
    expect(read.map((each) => each.bytes)).toEqual(packets);
    expect(read.map((each) => each.time)).toEqual(packets.map((_, i) => timeOf(i)));
    expect(read.map((each) => each.interfaceId)).toEqual(packets.map((_, i) => i % 2));
    expect(read.map((each) => each.direction)).toEqual(packets.map((_, i) => (i % 3 === 0 ? 2 : 1)));
  });

  withTools("gives what tshark and capinfos read, to the nanosecond", () => {
    const { packets, bytes } = sample(50);
    const path = join(folder, "ours.pcapng");
    writeFileSync(path, bytes);
    const fields = [
      "frame.time_epoch",
      "frame.len",
      "frame.interface_name",
      "frame.packet_flags_direction",
      "data.data",
    ];
    const lines = tool("tshark", "-r", path, "-T", "fields", ...fields.flatMap((field) => ["-e", field]))
      .trimEnd()
      .split("\n");
    expect(lines).toHaveLength(50);
    lines.forEach((line, i) => {
      const [time, length, name, direction, data] = line.split("\t");
      expect(time).toBe(timeOf(i));
      expect(Number(length)).toBe(packets[i]!.length);
      expect(name).toBe(`veth${i % 2}`);
      expect(Number(direction)).toBe(i % 3 === 0 ? 2 : 1);
      expect(data).toBe(Buffer.from(packets[i]!.subarray(14)).toString("hex"));
    });
    const report = tool("capinfos", path);
    expect(report).toContain("Number of packets:   50");
    expect(report).toContain("nanoseconds (9)");
    expect(report).toContain("Capture application: millrace");
    expect(report).toContain("Number of interfaces in file: 2");
    expect(tool("tshark", "-r", path, "-Y", "_ws.malformed || _ws.expert.severity == 8388608").trim()).toBe(
      "",
    );
  });

  test("cuts at the snap length and says how long the packet was", () => {
    const { writer, file } = collector({ snapLength: 100 });
    const id = writer.addInterface();
    for (const length of [99, 100, 101, 1500])
      writer.packet(id, 0, DIRECTION.unknown, packetOf(1, length), 0, length);
    writer.close(0);
    const { packets } = readAll(file());
    expect(packets.map((each) => each.bytes.length)).toEqual([99, 100, 100, 100]);
    expect(packets.map((each) => each.originalLength)).toEqual([99, 100, 101, 1500]);
  });

  test("hands the sink bounded parts, and many of them", () => {
    const { writer, parts, file } = collector({ bufferBytes: 8192, snapLength: 2000 });
    const id = writer.addInterface({ name: "x" });
    for (let i = 0; i < 500; i++) writer.packet(id, i, DIRECTION.inbound, packetOf(i, 700), 0, 700);
    expect(writer.fileBytes).toBeGreaterThan(350_000);
    writer.close(500);
    writer.close(501);
    expect(Math.max(...parts.map((part) => part.length))).toBeLessThanOrEqual(8192);
    expect(readAll(file()).packets).toHaveLength(500);
    expect(writer.fileBytes).toBe(file().length);
  });

  test("a sink that throws ends the writing, not the program", () => {
    let calls = 0;
    const sink = (): void => {
      calls += 1;
      throw new Error("disk full");
    };
    const writer = new PcapngWriter({ sink, bufferBytes: 8192, snapLength: 2000 });
    const id = writer.addInterface();
    for (let i = 0; i < 100; i++) writer.packet(id, i, DIRECTION.inbound, packetOf(i, 700), 0, 700);
    writer.close(0);
    expect(calls).toBe(1);
    expect(String(writer.failure)).toContain("disk full");
    expect(writer.packets + writer.lost).toBe(100);
    expect(writer.lost).toBeGreaterThan(80);
  });

  test("any time and any packet survive the way", () => {
    const seconds = fc.integer({ min: 0, max: 2 ** 33 });
    const one = fc.record({
      ms: fc.integer({ min: 0, max: 2 ** 40 }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 200 }),
    });
    fc.assert(
      fc.property(
        seconds,
        fc.integer({ min: 0, max: 999_999_999 }),
        fc.array(one),
        (epochSeconds, nanoseconds, all) => {
          const { writer, file } = collector({ epoch: { seconds: epochSeconds, nanoseconds } });
          const id = writer.addInterface();
          for (const { ms, bytes } of all) writer.packet(id, ms, DIRECTION.inbound, bytes, 0, bytes.length);
          writer.close(0);
          const { packets } = readAll(file());
          expect(packets.map((each) => each.bytes)).toEqual(all.map((each) => each.bytes));
          for (const [i, { ms }] of all.entries()) {
            const total = BigInt(epochSeconds) * 10n ** 9n + BigInt(nanoseconds) + BigInt(ms) * 10n ** 6n;
            expect(packets[i]!.time).toBe(
              `${total / 10n ** 9n}.${String(total % 10n ** 9n).padStart(9, "0")}`,
            );
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("reading", () => {
  withTools("what editcap and mergecap write: every format and order of ours", () => {
    const { packets, bytes } = sample(20);
    const ours = join(folder, "in.pcapng");
    writeFileSync(ours, bytes);
    for (const format of ["pcap", "nsecpcap", "pcapng"]) {
      const path = join(folder, `out.${format}`);
      // A classic file has one interface type but needs no more: both of ours are Ethernet.
      tool("editcap", "-F", format, ours, path);
      const { reader, packets: read } = readAll(readFileSync(path));
      expect(reader.trouble).toBeUndefined();
      expect(read.map((each) => Buffer.from(each.bytes).toString("hex"))).toEqual(
        packets.map((each) => Buffer.from(each).toString("hex")),
      );
      const digits = format === "pcap" ? 6 : 9;
      expect(read.map((each) => each.time.slice(0, 11 + digits))).toEqual(
        packets.map((_, i) => timeOf(i).slice(0, 11 + digits)),
      );
    }
    const merged = join(folder, "merged.pcapng");
    tool("mergecap", "-w", merged, ours, join(folder, "out.pcap"));
    const { reader, packets: both } = readAll(readFileSync(merged));
    expect([both.length, reader.trouble, reader.malformed]).toEqual([40, undefined, 0]);
  });

  /** A block with the given body in either byte order. */
  const block = (
    little: boolean,
    type: number,
    body: readonly (readonly [size: 1 | 2 | 4, value: number])[],
  ): Uint8Array => {
    const size = body.reduce((sum, [bytes]) => sum + bytes, 0);
    const total = 12 + Math.ceil(size / 4) * 4;
    const out = new Uint8Array(total);
    const view = new DataView(out.buffer);
    view.setUint32(0, type, little);
    view.setUint32(4, total, little);
    view.setUint32(total - 4, total, little);
    let at = 8;
    for (const [bytes, value] of body) {
      if (bytes === 1) view.setUint8(at, value);
      else if (bytes === 2) view.setUint16(at, value, little);
      else view.setUint32(at, value, little);
      at += bytes;
    }
    return out;
  };
  const section = (little: boolean) =>
    block(little, 0x0a0d0d0a, [
      [4, 0x1a2b3c4d],
      [2, 1],
      [2, 0],
      [4, 0xffffffff],
      [4, 0xffffffff],
    ]);
  const described = (little: boolean, resolution: number, offset = 0) =>
    block(little, 1, [
      ...([
        [2, 1],
        [2, 0],
        [4, 0],
      ] as const),
      ...([
        [2, 9],
        [2, 1],
        [1, resolution],
        [1, 0],
        [1, 0],
        [1, 0],
      ] as const),
      ...([
        [2, 14],
        [2, 8],
      ] as const),
      ...(little
        ? ([
            [4, offset],
            [4, 0],
          ] as const)
        : ([
            [4, 0],
            [4, offset],
          ] as const)),
      ...([
        [2, 0],
        [2, 0],
      ] as const),
    ]);
  const enhanced = (little: boolean, high: number, low: number, id = 0, captured = 4) =>
    block(little, 6, [
      [4, id],
      [4, high],
      [4, low],
      [4, captured],
      [4, 9],
      [1, 1],
      [1, 2],
      [1, 3],
      [1, 4],
    ]);

  test("both byte orders, any resolution, offsets, several sections", () => {
    for (const little of [true, false]) {
      for (const [resolution, time, offset] of [
        [9, "4.294967303", 0],
        [6, "4294.967303000", 0],
        [3, "4294967.303000000", 0],
        [0, "4294967303.000000000", 0],
        [0x80 | 10, "4194304.006835937", 0],
        [9, "104.294967303", 100],
      ] as const) {
        const file = Buffer.concat([
          section(little),
          described(little, resolution, offset),
          enhanced(little, 1, 7),
          section(!little),
          described(!little, 9),
          enhanced(!little, 0, 5),
        ]);
        const { reader, packets } = readAll(new Uint8Array(file));
        expect(reader.trouble).toBeUndefined();
        expect(packets.map((each) => each.time)).toEqual([time, "0.000000005"]);
        expect(packets.map((each) => each.interfaceId)).toEqual([0, 1]);
        expect(packets[0]!.bytes).toEqual(Uint8Array.of(1, 2, 3, 4));
        expect(packets[0]!.originalLength).toBe(9);
      }
    }
  });

  test("simple, obsolete and unknown blocks", () => {
    const simple = block(true, 3, [
      [4, 3],
      [1, 7],
      [1, 8],
      [1, 9],
    ]);
    const obsolete = block(true, 2, [
      [2, 0],
      [2, 5],
      [4, 0],
      [4, 1],
      [4, 2],
      [4, 2],
      [1, 5],
      [1, 6],
    ]);
    const unknown = block(true, 0x0bad, [[4, 1]]);
    const file = Buffer.concat([section(true), described(true, 9), unknown, simple, obsolete]);
    const { reader, packets } = readAll(new Uint8Array(file));
    expect(packets.map((each) => [...each.bytes])).toEqual([
      [7, 8, 9],
      [5, 6],
    ]);
    expect([reader.skipped, reader.malformed, reader.trouble]).toEqual([1, 0, undefined]);
  });

  test("a block that contradicts itself is counted and left out", () => {
    const file = Buffer.concat([
      section(true),
      enhanced(true, 0, 1),
      described(true, 9),
      enhanced(true, 0, 2, 0, 5000),
      enhanced(true, 0, 3, 9),
      enhanced(true, 0, 4),
    ]);
    const { reader, packets } = readAll(new Uint8Array(file));
    expect([packets.length, reader.malformed, reader.trouble]).toEqual([1, 3, undefined]);
  });

  test("what cannot be read is named", () => {
    const named = (bytes: Uint8Array) => readAll(bytes).reader.trouble;
    const whole = new Uint8Array(Buffer.concat([section(true), described(true, 9), enhanced(true, 0, 1)]));
    const wrong = whole.slice();
    wrong[section(true).length + 4] = 13;
    const order = whole.slice();
    order[8] = 0;
    expect([
      named(new Uint8Array(0)),
      named(Uint8Array.of(1, 2, 3, 4, 5, 6)),
      named(whole.subarray(0, whole.length - 1)),
      named(whole.subarray(0, whole.length - 30)),
      named(wrong),
      named(order),
      named(Uint8Array.of(0xd4, 0xc3, 0xb2, 0xa1, 0)),
    ]).toEqual([
      "not a capture",
      "not a capture",
      "truncated",
      "truncated",
      "bad block length",
      "bad byte order",
      "truncated",
    ]);
  });

  test("no bytes make it throw, hang or point outside of them", () => {
    const { bytes } = sample(5);
    const classic = Uint8Array.of(
      0x4d,
      0x3c,
      0xb2,
      0xa1,
      2,
      0,
      4,
      0,
      ...new Uint8Array(16),
      1,
      0,
      0,
      0,
      2,
      0,
      0,
      0,
      4,
      0,
      0,
      0,
      4,
      0,
      0,
      0,
      9,
      9,
      9,
      9,
    );
    expect(readAll(classic).packets.map((each) => each.time)).toEqual(["1.000000002"]);
    const edits = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(fc.constantFrom(bytes, classic), edits, fc.nat(), (original, changes, cut) => {
        const broken = original.slice(0, cut % 4 === 0 ? cut % original.length : original.length);
        for (const [at, value] of changes) if (broken.length > 0) broken[at % broken.length] = value;
        const reader = new CaptureReader(broken);
        let packets = 0;
        while (reader.next()) {
          packets += 1;
          expect(reader.packet.at + reader.packet.length).toBeLessThanOrEqual(broken.length);
          expect(reader.interfaces[reader.packet.interfaceId]).toBeDefined();
        }
        expect(packets).toBeLessThanOrEqual(broken.length / 16);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("replay", () => {
  test("plays all packets in order, also of several chunks, from a small pool", () => {
    const { packets, bytes } = sample(60);
    const umem = new MemoryUmem({ chunkBytes: 512, headroomBytes: 0, chunkCount: 8 });
    const replay = new Replay({ capture: bytes, umem });
    const clock = new VirtualClock();
    const loop = new Loop({ clock, waiter: new ManualWaiter(clock) });
    const seen: Uint8Array[] = [];
    loop.receive(replay, (frame) => {
      seen.push(frame.copy());
      frame.send();
    });
    for (let i = 0; i < 100 && !replay.finished; i++) loop.turn();
    expect(seen).toEqual(packets);
    expect(replay.statistics()).toMatchObject({ rxPackets: 60, txDropped: 60, rxDropped: 0 });
    expect(expectWhole(umem).pool).toBe(8);
  });

  test("plays by the packets' times, faster if told", () => {
    for (const speed of [1, 4]) {
      const clock = new VirtualClock(500);
      const replay = new Replay({ capture: sample(10).bytes, timing: { clock, speed } });
      const burst = createBurst(64);
      const counts: number[] = [];
      for (let i = 0; i < 4; i++) {
        const count = replay.receive(burst);
        replay.settle(burst, count);
        counts.push(count);
        clock.advance(1000.01);
      }
      expect(counts).toEqual(speed === 1 ? [1, 1, 1, 1] : [1, 4, 4, 1]);
    }
  });

  test("of bytes that are no capture is over at once and says why", () => {
    const replay = new Replay({ capture: Uint8Array.of(1, 2, 3) });
    expect(replay.receive(createBurst(18))).toBe(0);
    expect([replay.finished, replay.reader.trouble]).toEqual([true, "not a capture"]);
  });
});

describe("recording", () => {
  deviceContract("memory that is recorded", {
    create: () => {
      const [left, right] = createLink({ chunkCount: 512, txRing: 128, rxRing: 128, mtu: 9000 });
      const { writer } = collector();
      const clock = new VirtualClock();
      return { left: record(left, { writer, clock }), right: record(right, { writer, clock }) };
    },
    longPacketBytes: 9000,
  });

  test("writes what arrives and what is sent, of one chunk and several, with its time", () => {
    const { writer, file } = collector({ epoch: EPOCH });
    const clock = new VirtualClock(1);
    const [left, right] = createLink({ mtu: 9000 });
    const tapped = record(right, { writer, clock });
    const loop = new Loop({ clock, waiter: new ManualWaiter(clock) });
    loop.receive(tapped, (frame) => frame.send());
    const transmitter = new Transmitter(left.queues[0]!);
    const packets = [packetOf(0, 60), packetOf(1, 5000)];
    for (const packet of packets) {
      transmitter.sendBytes(packet);
      left.queues[0]!.flush();
      loop.turn();
      clock.advance(1);
    }
    tapped.close();
    writer.close(clock.nowMs());
    const { packets: read } = readAll(file());
    expect(read.map((each) => each.bytes)).toEqual([packets[0]!, packets[0]!, packets[1]!, packets[1]!]);
    expect(read.map((each) => each.direction)).toEqual([1, 2, 1, 2]);
    expect(read.map((each) => each.time)).toEqual(
      [1, 1, 2, 2].map((ms) => `${EPOCH.seconds}.${EPOCH.nanoseconds + ms * 1e6}`),
    );
  });

  test("goes on in another file when told", () => {
    const first = collector();
    const second = collector();
    const clock = new VirtualClock();
    const [left, right] = createLink();
    const tapped = record(left, { writer: first.writer, clock, rx: false });
    const transmitter = new Transmitter(tapped.queues[0]!);
    transmitter.sendBytes(packetOf(1, 60));
    tapped.writer = second.writer;
    first.writer.close(0);
    transmitter.sendBytes(packetOf(2, 60));
    second.writer.close(0);
    expect(readAll(first.file()).packets.map((each) => each.bytes)).toEqual([packetOf(1, 60)]);
    expect(readAll(second.file()).packets.map((each) => each.bytes)).toEqual([packetOf(2, 60)]);
    right.close();
  });
});
