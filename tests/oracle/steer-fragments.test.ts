/** Fragments of one datagram go where the first of them went, in any order, by BPF_PROG_TEST_RUN on this kernel. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { SteerProgram } from "../../ffi/xdp/program.ts";
import {
  ethernet,
  ETHERTYPE,
  extension,
  ipv4,
  ipv6,
  ipv6Fragment,
  PROTOCOL,
  udp,
} from "../support/packets.ts";
import { skipUnless } from "../support/skip.ts";
import { openXskSlot, type XskSlot } from "../support/xsk-slot.ts";

const XDP_REDIRECT = 4;
const OURS = 9000;
const THEIRS = 9001;
/** FRAGMENTED_DATAGRAMS and FRAGMENT_LIFETIME_NS of bpf/maps.h. */
const FRAGMENTED_DATAGRAMS = 4096;
const LIFETIME_NS = 30_000_000_000n;
const RUNS = 60;

const noRoot = skipUnless(process.getuid?.() === 0, "BPF_PROG_TEST_RUN needs root", { couldRun: true });

type Family = 4 | 6;
type Whose = "ours" | "kernel's" | "early";

/** One fragment: the first has a port, the second and the last have none. */
interface Fragment {
  readonly family: Family;
  readonly id: number;
  readonly part: "first" | "middle" | "last" | "whole";
  /** Of the first, and of what is whole. */
  readonly port?: number;
  readonly from?: string;
  readonly to?: string;
  readonly protocol?: number;
  readonly tags?: readonly number[];
  /** Headers of 8 bytes before the port, behind an IPv6 fragment header. */
  readonly behind?: number;
}

const UNITS = { whole: 0, first: 0, middle: 185, last: 370 } as const;

const frame = (fragment: Fragment): Uint8Array => {
  const { family, id, part, port = OURS, tags = [], protocol = PROTOCOL.udp, behind = 0 } = fragment;
  const more = part === "first" || part === "middle";
  const payload = udp(port);
  const addresses = {
    ...(fragment.from === undefined ? {} : { from: fragment.from }),
    ...(fragment.to === undefined ? {} : { to: fragment.to }),
  };
  if (family === 4) {
    const header = { ...addresses, protocol, moreFragments: more, fragmentOffset: UNITS[part] };
    return ethernet(ETHERTYPE.ipv4, ipv4({ ...header, identification: id }, payload), { tags });
  }
  const next = behind > 0 ? PROTOCOL.destination : protocol;
  const upper = behind > 0 && UNITS[part] === 0 ? extension(protocol, behind - 1, payload) : payload;
  const cut = ipv6Fragment(next, UNITS[part], more, upper, id);
  return ethernet(ETHERTYPE.ipv6, ipv6({ ...addresses, next: PROTOCOL.fragment }, cut), { tags });
};

const ORDERS = [
  ["first", "middle", "last"],
  ["first", "last", "middle"],
  ["middle", "first", "last"],
  ["middle", "last", "first"],
  ["last", "first", "middle"],
  ["last", "middle", "first"],
] as const;

describe.skipIf(noRoot)("fragments and the steering program", () => {
  let program: SteerProgram;
  let slot: XskSlot;
  /** No two tests share a datagram. */
  let id = 0;

  beforeAll(() => {
    program = SteerProgram.load({ queues: 1 });
    slot = openXskSlot();
    program.setSocket(0, slot.fd);
  });

  afterAll(() => {
    program?.close();
    slot?.close();
  });

  beforeEach(() => {
    id += 1;
    program.setClaims({ udp: OURS });
  });

  const judge = (fragment: Omit<Fragment, "id"> & { readonly id?: number }): Whose => {
    const before = program.statistics();
    const { verdict } = program.testRun(frame({ id, ...fragment }));
    const after = program.statistics();
    const early = after.earlyFragments - before.earlyFragments;
    expect(after.malformed).toBe(before.malformed);
    expect(after.passed - before.passed).toBe(verdict === XDP_REDIRECT ? 0 : 1);
    if (verdict === XDP_REDIRECT) expect(early).toBe(0);
    return verdict === XDP_REDIRECT ? "ours" : early === 1 ? "early" : "kernel's";
  };

  /** The program's map of fragmented datagrams, through bpftool. */
  const bpftool = (...words: readonly string[]): string => {
    const { stdout, stderr, exitCode } = Bun.spawnSync(["bpftool", ...words], { stdin: "ignore" });
    if (exitCode !== 0) throw new Error(`bpftool ${words.join(" ")}: ${stdout}${stderr}`);
    return stdout.toString();
  };
  /** The kernel shows what a descriptor of a map is: linux/bpf.h calls the kind BPF_MAP_TYPE_LRU_HASH, 9. */
  const mapId = (): string => {
    const infos = readdirSync("/proc/self/fdinfo").map((fd) => {
      // The descriptor by which the folder is read is gone by now.
      const file = `/proc/self/fdinfo/${fd}`;
      return existsSync(file) ? readFileSync(file, "utf8") : "";
    });
    const ours = infos.filter((info) => /^map_type:\s+9$/m.test(info));
    expect(ours).toHaveLength(1);
    return /^map_id:\s+(\d+)$/m.exec(ours[0]!)![1]!;
  };

  describe.each([4, 6] as const)("IPv%d", (family) => {
    test.each(ORDERS.map((order) => [order.join(", "), order] as const))(
      "%s: those that follow the first",
      (_, order) => {
        for (const [port, whose] of [
          [OURS, "ours"],
          [THEIRS, "kernel's"],
        ] as const) {
          id += 1;
          let seen = false;
          for (const part of order) {
            seen ||= part === "first";
            expect(judge({ family, part, port })).toBe(seen ? whose : "early");
          }
        }
      },
    );

    test("behind two tags", () => {
      const tags = [ETHERTYPE.serviceVlan, ETHERTYPE.vlan];
      expect(judge({ family, part: "first", tags })).toBe("ours");
      expect(judge({ family, part: "last", tags })).toBe("ours");
    });

    test("another datagram's are its own: identification, addresses", () => {
      const [from, to] = family === 4 ? ["10.0.0.9", "10.0.0.7"] : ["2001:db8::9", "2001:db8::7"];
      expect(judge({ family, part: "first" })).toBe("ours");
      expect(judge({ family, part: "last", id: id + 0x8000 })).toBe("early");
      expect(judge({ family, part: "last", from })).toBe("early");
      expect(judge({ family, part: "last", to })).toBe("early");
      expect(judge({ family, part: "last" })).toBe("ours");
    });

    test("an identification that comes again belongs to the first fragment that had it last", () => {
      for (const port of [OURS, THEIRS, OURS, OURS, THEIRS]) {
        const whose = port === OURS ? "ours" : "kernel's";
        expect(judge({ family, part: "first", port })).toBe(whose);
        expect(judge({ family, part: "middle" })).toBe(whose);
        expect(judge({ family, part: "last" })).toBe(whose);
      }
    });

    test("a datagram that is whole speaks for no fragment", () => {
      expect(judge({ family, part: "whole" })).toBe("ours");
      expect(judge({ family, part: "last" })).toBe("early");
    });

    test("a change of claims does not tear a datagram", () => {
      expect(judge({ family, part: "first" })).toBe("ours");
      program.setClaims({ udp: THEIRS });
      expect(judge({ family, part: "last" })).toBe("ours");
      expect(judge({ family, part: "first" })).toBe("kernel's");
      expect(judge({ family, part: "last" })).toBe("kernel's");
    });

    test("without claims on ports nobody remembers, and nothing is early", () => {
      const address = family === 4 ? "10.0.0.2" : "2001:db8::2";
      program.setClaims({ destination: address, udp: OURS });
      expect(judge({ family, part: "first" })).toBe("ours");
      program.setClaims({ icmp: true });
      expect(judge({ family, part: "last" })).toBe("kernel's");
    });

    test("what is claimed whatever its port is ours before its first fragment came", () => {
      program.setClaims([{ protocol: "udp" }, { udp: OURS }]);
      expect(judge({ family, part: "last" })).toBe("ours");
    });

    test("a flood of datagrams pushes out the oldest, and no other", () => {
      expect(judge({ family, part: "first", id: 60_000 })).toBe("ours");
      for (let i = 0; i < 2 * FRAGMENTED_DATAGRAMS; i++)
        program.testRun(
          frame({
            family,
            part: "first",
            id: i,
            port: THEIRS,
            from: family === 4 ? "10.9.9.9" : "2001:db8::99",
          }),
        );
      expect(judge({ family, part: "first" })).toBe("ours");
      expect(judge({ family, part: "last" })).toBe("ours");
      expect(judge({ family, part: "last", id: 60_000 })).toBe("early");
    });
  });

  test("IPv4: another protocol's datagram of the same identification is another one", () => {
    expect(judge({ family: 4, part: "first" })).toBe("ours");
    expect(judge({ family: 4, part: "last", protocol: PROTOCOL.tcp })).toBe("early");
  });

  test("IPv6: the port may lie behind headers that the first fragment alone has", () => {
    expect(judge({ family: 6, part: "first", behind: 2 })).toBe("ours");
    expect(judge({ family: 6, part: "last", behind: 2 })).toBe("ours");
  });

  test("the families don't mix", () => {
    // The same 16 bytes of key where an IPv4 address is taken for the beginning of one of IPv6.
    expect(judge({ family: 4, part: "first", from: "32.1.13.184", to: "32.1.13.185" })).toBe("ours");
    const six = { family: 6, from: "2001:db8::", to: "2001:db9::", id: id << 16 } as const;
    expect(judge({ ...six, part: "last" })).toBe("early");
  });

  test.skipIf(skipUnless(Bun.which("bpftool") !== null, "bpftool is not installed", { couldRun: true }))(
    "a first fragment is forgotten after its time",
    () => {
      program.setClaims([]);
      program.close();
      program = SteerProgram.load({ queues: 1 });
      program.setSocket(0, slot.fd);
      program.setClaims({ udp: OURS });
      expect(judge({ family: 4, part: "first" })).toBe("ours");
      const map = mapId();
      const [entry] = JSON.parse(bpftool("-j", "map", "dump", "id", map)) as {
        key: string[];
        value: string[];
      }[];
      const value = new DataView(Uint8Array.from(entry!.value, Number).buffer);
      const setAge = (bySome: bigint): void => {
        const aged = new DataView(new ArrayBuffer(value.byteLength));
        aged.setBigUint64(0, value.getBigUint64(0, true) - bySome, true);
        const octets = [...new Uint8Array(aged.buffer)].map(String);
        bpftool("map", "update", "id", map, "key", ...entry!.key, "value", ...octets);
      };
      setAge(LIFETIME_NS / 2n);
      expect(judge({ family: 4, part: "last" })).toBe("ours");
      setAge(LIFETIME_NS);
      expect(judge({ family: 4, part: "last" })).toBe("early");
    },
  );

  test("any sequence of fragments goes as a table of first ones says", () => {
    const fragment = fc.record({
      family: fc.constantFrom<Family>(4, 6),
      id: fc.integer({ min: 0, max: 3 }),
      part: fc.constantFrom("first", "middle", "last", "whole" as const),
      port: fc.constantFrom(OURS, THEIRS),
    });
    let round = 0;
    fc.assert(
      fc.property(fc.array(fragment, { minLength: 1, maxLength: 40 }), (fragments) => {
        round += 1;
        const firsts = new Map<string, Whose>();
        for (const each of fragments) {
          const key = `${each.family} ${each.id}`;
          const whose = each.port === OURS ? "ours" : "kernel's";
          if (each.part === "first") firsts.set(key, whose);
          const byItself = each.part === "first" || each.part === "whole";
          const expected = byItself ? whose : (firsts.get(key) ?? "early");
          expect(judge({ ...each, id: 0x4000 + round * 4 + each.id })).toBe(expected);
        }
      }),
      { numRuns: RUNS },
    );
  });
});
