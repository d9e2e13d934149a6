/** What the bench reads in the words of sockperf and kxdpgun. */
import { describe, expect, test } from "bun:test";
import { readKxdpgun } from "../../bench/measure/dns.ts";
import { percentileUs } from "../../bench/measure/rtt.ts";

describe("kxdpgun", () => {
  const SAID = [
    "using interface va, XDP threads 1, UDP, native mode",
    "thread#00: sent 199990, received 145346",
    "total queries:     199990 (99995 pps)",
    "total replies:     145346 (72673 pps) (72%)",
    "average DNS reply size: 112 B",
    "average Ethernet reply rate: 179458544 bps (179.46 Mbps)",
    "responded NOERROR:   96911",
    "responded NXDOMAIN:  48435",
    "duration: 2 s",
    "",
  ].join("\n");

  test("tells rates and kinds of answers", () => {
    const { offered, answered, codes } = readKxdpgun(SAID);
    expect({ offered, answered }).toEqual({ offered: 99_995, answered: 72_673 });
    expect([...codes]).toEqual([
      ["NOERROR", 96_911],
      ["NXDOMAIN", 48_435],
    ]);
  });

  test("is quoted where it tells neither", () => {
    const busy = "error: failed to initialize XDP socket#0 (requested resource is busy)";
    expect(() => readKxdpgun(busy)).toThrow(busy);
  });
});

describe("sockperf", () => {
  const SAID = [
    "sockperf: ---> <MAX> observation =  312.117",
    "sockperf: ---> percentile 99.999 =  312.117",
    "sockperf: ---> percentile 99.000 =   12.480",
    "sockperf: ---> percentile 50.000 =    7.230",
  ].join("\n");

  test("tells percentiles", () => {
    expect(percentileUs(SAID, "50.000")).toBe(7.23);
    expect(percentileUs(SAID, "99.000")).toBe(12.48);
  });

  test("is quoted where it had no answer", () => {
    const none = "sockperf: No messages were received from the server. Is the server down?";
    expect(() => percentileUs(none, "50.000")).toThrow(none);
  });
});
